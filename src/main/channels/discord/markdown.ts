/** Owns the Markdown that Discord shows: what it does not know is written in what it knows. A pure function; code is not touched. */

const FENCE = /^ {0,3}(?:`{3,}|~{3,})/;
/** Discord fences with backticks only. */
const TILDES = /^ {0,3}~{3,}/;

/** Rewrites deep headings as bold lines and images as links, and tilde fences with backticks. */
export function toDiscordMarkdown(text: string): string {
  let mark: string | undefined;
  return text
    .split('\n')
    .map((line) => {
      if (FENCE.test(line)) {
        const own = line.trimStart().slice(0, 3);
        if (mark === undefined) mark = own;
        else if (own === mark) mark = undefined;
        return TILDES.test(line) ? line.replace(/~{3,}/, '```') : line;
      }
      return mark === undefined ? rewritten(line) : line;
    })
    .join('\n');
}

function rewritten(line: string): string {
  return line
    .replace(/^#{4,6} +(.+?) *#*$/, '**$1**')
    .replaceAll(/!\[([^\]]*)\]\((https?:\/\/[^\s)]+)[^)]*\)/g, (_, alt: string, url: string) =>
      alt === '' ? url : `[${alt}](${url})`,
    );
}
