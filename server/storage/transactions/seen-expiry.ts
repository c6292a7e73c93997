/**
 * When the first of the entries expires that a transaction has seen live. The transaction may have decided by
 * such an entry, a lease for example, so it must commit before.
 */
export class SeenExpiry {
  first: Date | undefined;

  note(expiresAt: Date | null | undefined): void {
    if (expiresAt && (this.first === undefined || expiresAt < this.first)) this.first = expiresAt;
  }
}
