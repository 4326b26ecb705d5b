/** Owns what stands in a prompt for a file that a provider does not get: a short text that names it. It opens no address. */
import type { FilePart, ImagePart } from 'ai';

/** Characters of a name or an address that are shown. */
const MAX_SHOWN = 300;

/** Tells whether a text says nothing: providers refuse such texts, also those of blanks alone. */
export function isBlank(text: string): boolean {
  return text.trim() === '';
}

/** Tells whether a part is an image, whoever can take it. */
export function isImage(part: ImagePart | FilePart): boolean {
  return part.type === 'image' || part.mediaType.startsWith('image');
}

/** The text that stands for a file or an image; undefined for an image that goes to the provider. */
export function mentionOf(part: ImagePart | FilePart): string | undefined {
  const data = part.type === 'file' ? part.data : part.image;
  if (typeof data === 'string' && isImage(part) && (INLINE_IMAGE.test(data) || isWebAddress(data))) return undefined;
  return nameOf(part);
}

/** Names a file or an image, also one that could be handed on. */
export function nameOf(part: ImagePart | FilePart): string {
  const data = part.type === 'file' ? part.data : part.image;
  const { mediaType = 'image' } = part;
  if (typeof data !== 'string') return mention('file', '', undefined, mediaType);
  if (isImage(part)) return mention('image', data, undefined, mediaType);
  const known = mediaType === 'application/octet-stream' ? undefined : mediaType;
  return mention('file', data, part.type === 'file' ? part.filename : undefined, known);
}

/** An image by its bytes, up to them. */
export const INLINE_IMAGE: RegExp = /^data:(image\/[\w.+-]+);base64,/i;

function isWebAddress(address: string): boolean {
  const protocol = URL.parse(address)?.protocol;
  return protocol === 'https:' || protocol === 'http:';
}

/** What a provider cannot take is named, so that the model can say what it did not see. */
function mention(kind: string, address: string, name: string | undefined, mediaType: string | undefined): string {
  const facts = [name, mediaType, /^data:/i.test(address) ? undefined : address];
  const shown = facts.flatMap((fact) => (fact === undefined || fact === '' ? [] : [shortened(fact)]));
  return `[${[kind, ...shown].join(' ')}]`;
}

/** Ends between two code points. */
function shortened(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN).replace(/[\ud800-\udbff]$/, '')}…`;
}
