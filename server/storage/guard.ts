/** A claim that the caller must hold, with its fence, as a request names them. Writes: see claims/guard.ts. */
export interface Guard {
  tenant: string;
  name: string;
  fence: string;
}
