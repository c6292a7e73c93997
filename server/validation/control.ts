// Control characters, which no name may hold.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
export const control = /[\u0000-\u001f\u007f-\u009f]/;
