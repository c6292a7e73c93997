/** The kinds of characters that a search tells apart. */
export const kinds = {
  space: 0,
  letter: 1, // or digit, of a script that has spaces between words
  unspaced: 2, // a letter of a script without them, or with words too short for trigrams
  sign: 3,
  mark: 4, // belongs to the letter before
  ignored: 5, // nobody sees it, such as a soft hyphen
  unassigned: 6, // not a character in that version of Unicode
};
