// How the release before folded text and compared metadata. Its records are found so until migration 0010 has
// rewritten them.

/** The text of a term as the release before looked for it: numbers as doubles. */
export const formerTerm = (text: string): string =>
  /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) ? `${Number(text)}` : formerFold(text).trim();

const formerFold = (text: string): string =>
  text
    .toWellFormed()
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll("ς", "σ")
    .replace(/[\s\p{Cc}]+/gu, " ");

/** How the release before wrote labels that `comparable` gives. It knew numbers as doubles. */
export const formerLabels = (labels: string): string =>
  JSON.stringify(JSON.parse(labels), (_, member) => {
    if (typeof member === "string") return formerLabel(member);
    return typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).map(([name, of]) => [formerLabel(name), of]))
      : member;
  });

function formerLabel(text: string): unknown {
  if (text.startsWith("\ufffdn")) return Number(text.slice(2));
  return text.replace(/\ufffd(\ufffd|u[0-9a-f]+;)/g, "\ufffd");
}
