/** Completions that a careless parser needs quadratic time for; python/tests/test_rewards.py has the same list. Length in characters, about. */
export const hostile: { readonly [name: string]: (length: number) => string } = {
  boxes: (length) => repeat("\\boxed{", length),
  "boxes, then closing braces": (length) =>
    repeat("\\boxed{", length * 0.875) + repeat("}", length * 0.125),
  "boxes around a balanced one": (length) =>
    `${repeat("\\boxed{", length / 2)}\\boxed{A}${repeat("{", length / 2)}`,
  "balanced boxes": (length) => repeat("\\boxed{A}", length),
  "opening braces": (length) => repeat("{", length),
  "closing braces": (length) => repeat("}", length),
  "nested braces in a box": (length) =>
    `\\boxed{${repeat("{", length / 2)}${repeat("}", length / 2)}}`,
  "pairs of braces in a box": (length) => `\\boxed{${repeat("{}", length)}}`,
  "pairs of braces in an open box": (length) => `\\boxed{${repeat("{}", length)}`,
  "closing, then opening braces": (length) => repeat("}", length / 2) + repeat("{", length / 2),
  "think tags": (length) => repeat("<think>", length),
  "closing think tags": (length) => repeat("</think>", length),
  "half tags": (length) => repeat("<think", length),
  "half boxes": (length) => repeat("\\boxed", length),
  backslashes: (length) => repeat("\\", length),
  digits: (length) => `\\boxed{${repeat("9", length)}}`,
  "digits and a letter": (length) => `\\boxed{${repeat("9", length)}x}`,
  spaces: (length) => `\\boxed{${repeat(" ", length)}}`,
  "spaces around": (length) => `\\boxed{${repeat(" ", length / 2)}x${repeat(" ", length / 2)}}`,
  "spaces inside": (length) => `\\boxed{3${repeat(" ", length)}x}`,
  "spaces and dollars": (length) => `\\boxed{${repeat(" $", length)}}`,
  "full-width spaces": (length) => `\\boxed{${repeat("\u3000", length)}}`,
  "full-width digits": (length) => `\\boxed{${repeat("９", length)}}`,
  commas: (length) => `\\boxed{${repeat(",", length)}}`,
  "numbers and commas": (length) => `\\boxed{${repeat("3,", length)}}`,
  "numbers and many spaces": (length) =>
    `\\boxed{3${repeat(" ", length / 2)},${repeat(" ", length / 2)}1}`,
  wrappers: (length) => `\\boxed{${repeat("\\text{", length * 0.8)}${repeat("}", length * 0.2)}}`,
  brackets: (length) => `\\boxed{${repeat("[", length / 2)}${repeat("]", length / 2)}}`,
  "spaces to think": (length) => `<think>${repeat(" ", length)}</think>\\boxed{A}`,
  "low surrogates to think": (length) => `<think>${repeat("\udc00", length)}</think>\\boxed{A}`,
};

function repeat(piece: string, length: number): string {
  return piece.repeat(Math.floor(length / piece.length));
}
