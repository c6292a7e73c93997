// Sentences as people and language models write them, and queries for a word of each in another of its forms.

/** Forms of one word: as it stands in sentences, and as it is asked for. */
const words: [written: string, asked: string][] = [
  ["refunds", "refunding"],
  ["customers", "customer"],
  ["policies", "policy"],
  ["shipping", "shipped"],
  ["orders", "ordered"],
  ["payments", "payment"],
  ["returned", "returns"],
  ["tracking", "tracked"],
  ["deliveries", "delivery"],
  ["cancelled", "cancelling"],
  ["meetings", "meeting"],
  ["requests", "requested"],
  ["invoices", "invoicing"],
  ["discounts", "discounted"],
  ["upgrades", "upgrading"],
  ["reviews", "reviewed"],
  ["subscriptions", "subscription"],
  ["approved", "approving"],
  ["warnings", "warning"],
  ["schedules", "scheduling"],
];

/** What stands around a word. */
const sentences = [
  "She asked about % twice.",
  "She asked about “%” today.",
  "“%,” he said, “are late.”",
  "‘%’ was the word.",
  "The topic is «%».",
  "„%“ steht im Text.",
  "We talked about %—nothing else.",
  "First–%–last",
  "Wait… %… and then silence",
  "→% go here",
  "Steps: cart ⇒% ⇒ done",
  "• %\n• other points",
  "今日は%。よろしく",
  "「%」について",
  "退款%政策",
  "물론 %를 봅시다",
  "😀% again",
  "done✅%✅",
  "%/other terms apply",
  "see docs/%/index.html",
  "It said %.Then it stopped.",
  "<%>12</%>",
  "~% per day",
  "write to %@acme.example",
  "**%** matter",
  "`%` is code",
  "#% and more",
  "(%)[1]",
  "[%](https://acme.example/a)",
  "snake_%_case",
  'the text {"%":1}',
  "a=%&b=2",
  "% | table | cell",
  "non‑%",
  "their %’ fate",
  "\u200b%\u200b copied from a page",
  "%\u200bpolicy",
  "\ufeff% first",
  "% with no-break spaces",
  "１２％の%",
];

export interface Sentence {
  text: string;
  /** A word of the text, in another form. */
  query: string;
}

/** Every word in every surrounding; every third word has a soft hyphen in it, others capitals. */
export const corpus: Sentence[] = sentences.flatMap((sentence, n) =>
  words.map(([written, asked], i): Sentence => {
    const shown = [
      written,
      `${written.slice(0, 3)}\u00ad${written.slice(3)}`,
      written.toUpperCase(),
    ][(n + i) % 3] as string;
    return { text: sentence.replaceAll("%", shown), query: asked };
  }),
);
