/** Owns how text of others, such as a reply or a name, is put into the pages that a benchmark writes. */

/** Text that may stand in an element of HTML, or in an attribute with quotes; what HTML cannot hold becomes U+FFFD. */
export function escapeText(text: string): string {
  return text
    .toWellFormed()
    .replaceAll('\0', '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
