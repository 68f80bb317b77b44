/** Values that can be computed again, the most recently used ones kept up to a total size. A value larger than the limit is kept alone. */
export interface Recent<Value> {
  get(key: string | number, make: () => Value): Value;
}

export function createRecent<Value>(limit: number, size: (value: Value) => number): Recent<Value> {
  const kept = new Map<string | number, Value>();
  let total = 0;
  /** Used last: it need not be moved, which costs much where many are kept. */
  let newest: { readonly key: string | number; readonly value: Value } | undefined;
  return {
    get(key, make) {
      if (newest?.key === key) return newest.value;
      const known = kept.get(key);
      if (known !== undefined) {
        kept.delete(key);
        kept.set(key, known);
        newest = { key, value: known };
        return known;
      }
      const value = make();
      newest = { key, value };
      kept.set(key, value);
      total += size(value);
      for (const [oldest, old] of kept) {
        if (total <= limit || old === value) break;
        kept.delete(oldest);
        total -= size(old);
      }
      return value;
    },
  };
}
