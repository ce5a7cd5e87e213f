import type { Labelled } from "./maths/calibration";
import { sum } from "./maths/vectors";

const LABEL_NAMES = new Set(["label", "labels", "target", "y", "class", "truth"]);
const WANTED = "One line a row: the logits of every class, then the true class.";

function cells(line: string, separator: string): string[] {
  const found = line.match(new RegExp(`("([^"]|"")*"|[^${separator}]*)(${separator}|$)`, "g")) ?? [];
  const trimmed = found.map((cell, i) => (i < found.length - 1 && cell.endsWith(separator) ? cell.slice(0, -1) : cell).trim());
  if (found.length > 1 && found[found.length - 1] === "") trimmed.pop(); // the empty match at the end of the line
  return trimmed.map((cell) => (cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell));
}

const isLabelName = (cell: string) => LABEL_NAMES.has(cell.toLowerCase());
const isNumber = (cell: string) => cell !== "" && Number.isFinite(Number(cell));

/** Read logits and labels from the text of a table; an Error says what is wrong and where. */
export function readLogits(text: string): Labelled {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new Error(`There is nothing to read. ${WANTED}`);
  const separator = ["\t", ";", ","].find((candidate) => lines[0].includes(candidate)) ?? ",";
  const table = lines.map((line) => cells(line, separator));
  // Classes may be called 0, 1, 2 in a header; and y in the rows, where the word comes again.
  const headed = (cell: string, j: number) => isLabelName(cell) && !table.slice(1).some((row) => row[j] === cell);
  const hasHeader = !table[0].some(isNumber) || table[0].some(headed);
  const header = hasHeader ? table[0] : null;
  const body = hasHeader ? table.slice(1) : table;
  const width = table[0].length;
  if (width < 3) throw new Error(`There are ${width} columns; two logits and a label are the least. ${WANTED}`);
  if (body.length < 2) throw new Error(`There are too few rows (${body.length}) to calibrate on; give at least 2.`);
  const named = header?.findIndex(isLabelName) ?? -1;
  const labelColumn = named >= 0 ? named : width - 1;
  const columns = Array.from({ length: width }, (_, j) => j).filter((j) => j !== labelColumn);

  const logits = body.map((row, i) => {
    if (row.length !== width) throw new Error(`Row ${i + 1} has ${row.length} columns, the first line has ${width}.`);
    return columns.map((j) => {
      if (!isNumber(row[j])) throw new Error(`Row ${i + 1}, ${header ? `column "${header[j]}"` : `column ${j + 1}`}: "${row[j]}" is not a finite number.`);
      return Number(row[j]);
    });
  });
  if (logits.every((row) => row.every((x) => x >= 0) && Math.abs(sum(row) - 1) < 1e-4))
    throw new Error("These look like probabilities, not logits: every row is positive and sums to 1. Take their logarithm first.");

  const labels = readLabels(body.map((row) => row[labelColumn]), columns.map((j) => header?.[j] ?? ""), columns.length);
  if (new Set(labels).size < 2) throw new Error("Every row has the same true class; a temperature needs at least two.");
  return { logits, labels };
}

/** The names of the logit columns, or class numbers from 0 (or from 1, when there is a K and no 0). */
function readLabels(given: string[], names: string[], classes: number): number[] {
  if (given.every((label) => names.includes(label)) || !given.every((label) => /^\d+(\.0*)?$/.test(label))) {
    return given.map((label, i) => {
      const k = names.indexOf(label);
      if (k < 0) throw new Error(`Row ${i + 1}: the true class "${label}" is neither a number nor the name of a logit column.`);
      return k;
    });
  }
  const numbers = given.map(Number);
  const first = !numbers.includes(0) && numbers.includes(classes) ? 1 : 0;
  numbers.forEach((label, i) => {
    if (label - first >= classes) throw new Error(`Row ${i + 1}: true class ${label}, but there are only ${classes} logits.`);
  });
  return numbers.map((label) => label - first);
}
