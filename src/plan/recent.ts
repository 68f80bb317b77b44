/** Values that can be computed again, the most recently used ones kept up to a total size. A value larger than the limit is kept alone. */
export interface Recent<Value> {
  get(key: string, make: () => Value): Value;
}

export function createRecent<Value>(limit: number, size: (value: Value) => number): Recent<Value> {
  const kept = new Map<string, Value>();
  let total = 0;
  return {
    get(key, make) {
      const known = kept.get(key);
      if (known !== undefined) {
        kept.delete(key);
        kept.set(key, known);
        return known;
      }
      const value = make();
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
