/** The claim that the caller of a write must hold: see claims/guard.ts. */
export interface Guard {
  tenant: string;
  name: string;
  fence: string;
}
