// What a setting is.
import type { Parse } from "./parse.js";

export interface Setting<T> {
  env: string;
  default: T;
  arg?: string;
  doc: string;
  parse: Parse<T>;
}

export const setting = <T>(s: Setting<T>) => s;
