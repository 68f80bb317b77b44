/** Where each record begins and the last one ends; 8 bytes a row. */
export interface Offsets {
  /** Number of records. */
  readonly rows: number;
  /** End of the last record; where the first begins when there is none. */
  readonly end: number;
  /** Begin of a record; of the one behind the last: `end`. */
  at(row: number): number;
  push(end: number): void;
}

export function createOffsets(first: number): Offsets {
  let places = new Float64Array(64);
  let rows = 0;
  places[0] = first;
  return {
    get rows() {
      return rows;
    },
    get end() {
      return places[rows] as number;
    },
    at: (row) => places[row] as number,
    push(end) {
      rows++;
      if (rows === places.length) {
        const more = new Float64Array(places.length * 2);
        more.set(places);
        places = more;
      }
      places[rows] = end;
    },
  };
}
