import { entropy, entropyExpansion, entropyGradient, entropyHessian } from "./maths/entropy";
import { logSoftmax, logSumExp, softmax } from "./maths/exponential";
import { linear } from "./maths/linear";
import { softmaxMember } from "./maths/softmax";
import { delta, dot, indexOfLargest, matrix, sum, vector } from "./maths/vectors";

/** A claim of one of the source texts, and the numbers that refute it. */
export interface Claim {
  source: string;
  verdict: "wrong" | "unstable" | "ambiguous";
  claim: string;
  right: string;
  evidence(): Evidence[];
}

export interface Evidence {
  at: string;
  claimed?: (number | string)[];
  truth: (number | string)[];
  /** by difference quotients or by counting, from no formula */
  measured?: (number | string)[];
}

const SLIDES = "Lecture slides on softmax";
const NOTES = "Notes on the softmax function";
const LAYER = "Softmax layer and loss";
const COURSE = "Course notes on the softmax classifier";
const WHY = "Why exp? (question and answers)";

const Z = [0.3, -1.2, 0.8];
const AT = "z = (0.3, −1.2, 0.8)";
const P = softmax(Z);

/** Central difference of a vector function along coordinate j. */
function quotient(f: (z: number[]) => number[], z: number[], j: number, step = 1e-5): number[] {
  const moved = (by: number) => f(z.map((x, k) => (k === j ? x + by : x)));
  const [up, down] = [moved(step), moved(-step)];
  return up.map((x, i) => (x - down[i]) / (2 * step));
}

const gradientOf = (f: (z: number[]) => number, z: number[]) => z.map((_, j) => quotient((x) => [f(x)], z, j)[0]);
const secondOf = (i: number, j: number, k: number) => quotient((x) => [quotient(softmax, x, j, 1e-4)[i]], Z, k, 1e-4)[0];
const entropyOf = (z: number[]) => entropy(softmaxMember, z);
const naive = (z: number[]) => {
  const e = z.map(Math.exp);
  return e.map((x) => x / sum(e));
};

export const CLAIMS: Claim[] = [
  {
    source: NOTES,
    verdict: "wrong",
    claim: "The gradient of the entropy is p − 1.",
    right: "∂H/∂z<sub>i</sub> = −p<sub>i</sub>(log p<sub>i</sub> + H). The claim's entries sum to 1 − K; shift invariance demands 0.",
    evidence: () => [{ at: AT, claimed: P.map((p) => p - 1), truth: entropyGradient(softmaxMember, Z), measured: gradientOf(entropyOf, Z) }],
  },
  {
    source: NOTES,
    verdict: "wrong",
    claim: "The Hessian of the entropy is diag(p) − pp<sup>T</sup>.",
    right: "−δ<sub>ij</sub>p<sub>i</sub>(1 + a<sub>i</sub>) + p<sub>i</sub>p<sub>j</sub>(1 + a<sub>i</sub> + a<sub>j</sub>) with a = log p + H. At equal logits it is exactly minus the claim.",
    evidence: () => [
      {
        at: `first row at ${AT}`,
        claimed: matrix(3, (i, j) => P[i] * (delta(i, j) - P[j]))[0],
        truth: entropyHessian(softmaxMember, Z)[0],
        measured: gradientOf((z) => gradientOf(entropyOf, z)[0], Z),
      },
    ],
  },
  {
    source: NOTES,
    verdict: "wrong",
    claim: "H(z + Δ) ≈ H + (p − 1)·Δ + ½ Δ<sup>T</sup>(diag(p) − pp<sup>T</sup>)Δ.",
    right: "H − Σ p a Δ − ½ Σ p (1 + a)(Δ − Δ̄)<sup>2</sup>, whose error is of third order.",
    evidence: () => {
      const step = [0.01, -0.02, 0.015];
      const spread = dot(P, step.map((x) => x * x)) - dot(P, step) ** 2;
      return [
        {
          at: `${AT}, Δ = (0.01, −0.02, 0.015)`,
          claimed: [entropyOf(Z) + dot(P.map((p) => p - 1), step) + spread / 2],
          truth: [entropyExpansion(softmaxMember, Z)(step)],
          measured: [entropyOf(Z.map((x, k) => x + step[k]))],
        },
      ];
    },
  },
  {
    source: NOTES,
    verdict: "wrong",
    claim: "For i ≠ j = k the second derivative is p<sub>i</sub>p<sub>k</sub>(2p<sub>i</sub> − 1).",
    right: "p<sub>i</sub>p<sub>k</sub>(2p<sub>k</sub> − 1): the factor carries the index that repeats.",
    evidence: () => [{ at: `i = A, j = k = B at ${AT}`, claimed: [P[0] * P[1] * (2 * P[0] - 1)], truth: [softmaxMember.second(Z)[0][1][1]], measured: [secondOf(0, 1, 1)] }],
  },
  {
    source: NOTES,
    verdict: "wrong",
    claim: "The second derivative has four cases; i = k ≠ j is left to “2p<sub>i</sub>p<sub>j</sub>p<sub>k</sub>”.",
    right: "i = k ≠ j gives p<sub>i</sub>p<sub>j</sub>(2p<sub>i</sub> − 1): the tensor is symmetric in all three indices.",
    evidence: () => [{ at: `i = k = A, j = B at ${AT}`, claimed: [2 * P[0] * P[1] * P[0]], truth: [softmaxMember.second(Z)[0][1][0]], measured: [secondOf(0, 1, 0)] }],
  },
  {
    source: NOTES,
    verdict: "wrong",
    claim: "Softmax is approximated by the Gumbel-softmax trick.",
    right: "The other way round: Gumbel-softmax relaxes <em>sampling</em> from softmax(z). One relaxed sample is not near softmax(z), but its winner is drawn from it exactly; see the sampling section.",
    evidence: () => [{ at: `${AT}, noise (0, 2, 0), τ = 0.5`, claimed: softmax([0.6, 1.6, 1.6]), truth: P }],
  },
  {
    source: NOTES,
    verdict: "wrong",
    claim: "Softmax is “kind of” convex in its arguments.",
    right: "Its entries are neither convex nor concave; log-sum-exp and −log softmax are convex.",
    evidence: () => [
      { at: "second derivative of p A by z A, z = (−3, 0) then (3, 0)", claimed: ["≥ 0", "≥ 0"], truth: [-3, 3].map((gap) => softmaxMember.second([gap, 0])[0][0][0]) },
    ],
  },
  {
    source: NOTES,
    verdict: "unstable",
    claim: "H = log Z − Σ p z, as code.",
    right: "Subtract the maximum first: H = log1p(r) − Σ p (z − max z).",
    evidence: () => {
      const z = [1e16, 1e16 + 2];
      const p = softmax(z);
      return [{ at: "z = (10¹⁶, 10¹⁶ + 2)", claimed: [logSumExp(z) - dot(p, z)], truth: [entropyOf([0, 2])] }];
    },
  },
  {
    source: LAYER,
    verdict: "wrong",
    claim: "“log” is the logarithm to base 10, and 1/ln 10 stands in every gradient.",
    right: "Its own numbers are natural logarithms; in nats there is no such factor.",
    evidence: () => {
      const z = [0, 10, 15, 18, 20];
      return [{ at: "log p of (0, 10, 15, 18, 20), as printed: −20.13289 … −0.13288", claimed: logSoftmax(z).map((x) => x / Math.LN10), truth: logSoftmax(z) }];
    },
  },
  {
    source: LAYER,
    verdict: "wrong",
    claim: "∂q<sub>j</sub>/∂x<sub>k</sub> = q<sub>j</sub>(δ<sub>jk</sub> − q<sub>j</sub>).",
    right: "q<sub>j</sub>(δ<sub>jk</sub> − q<sub>k</sub>).",
    evidence: () => [{ at: `∂p A / ∂z B at ${AT}`, claimed: [-(P[0] ** 2)], truth: [softmaxMember.jacobian(Z)[0][1]], measured: [quotient(softmax, Z, 1)[0]] }],
  },
  {
    source: LAYER,
    verdict: "wrong",
    claim: "For soft labels ∂L/∂x<sub>k</sub> = −Σ<sub>j</sub> p<sub>j</sub>(δ<sub>jk</sub> − q<sub>j</sub>).",
    right: "q<sub>k</sub> − p<sub>k</sub>, for labels p that sum to 1.",
    evidence: () => {
      const label = [0.5, 0.25, 0.25];
      return [
        {
          at: `label (½, ¼, ¼) at ${AT}`,
          claimed: vector(3, (k) => -sum(label.map((y, j) => y * (delta(j, k) - P[j])))),
          truth: vector(3, (k) => P[k] - label[k]),
          measured: gradientOf((z) => -dot(label, logSoftmax(z)), Z),
        },
      ];
    },
  },
  {
    source: LAYER,
    verdict: "wrong",
    claim: "For a true class c, ∂L/∂x<sub>k</sub> = −(δ<sub>ck</sub> − q<sub>c</sub>).",
    right: "q<sub>k</sub> − δ<sub>ck</sub>: every wrong class is pushed by its own probability, and the entries sum to 0.",
    evidence: () => [{ at: `true class A at ${AT}`, claimed: vector(3, (k) => -(delta(0, k) - P[0])), truth: softmaxMember.lossGradient(Z, 0), measured: gradientOf((z) => softmaxMember.loss(z, 0), Z) }],
  },
  {
    source: SLIDES,
    verdict: "wrong",
    claim: "Softmax is for N <em>independent</em> classes.",
    right: "The classes exclude one another: the outputs must sum to 1, so none moves alone. Independent labels need one sigmoid each.",
    evidence: () => [{ at: `change of p when only z A grows, ${AT}`, claimed: ["> 0", 0, 0], truth: softmaxMember.jacobian(Z).map((row) => row[0]), measured: quotient(softmax, Z, 0) }],
  },
  {
    source: SLIDES,
    verdict: "unstable",
    claim: "softmax(x) = exp(x) / sum(exp(x)), as code.",
    right: "Subtract the maximum first; nothing else changes.",
    evidence: () => [
      { at: "z = (1000, 1001)", claimed: naive([1000, 1001]), truth: softmax([1000, 1001]) },
      { at: "z = (−1000, −1001)", claimed: naive([-1000, -1001]), truth: softmax([-1000, -1001]) },
    ],
  },
  {
    source: SLIDES,
    verdict: "unstable",
    claim: "log-softmax = log(exp(x) / sum(exp(x))), as code.",
    right: "d − log1p(sum of the others): right down to the smallest numbers.",
    evidence: () => [
      { at: "z = (0, −40)", claimed: naive([0, -40]).map(Math.log), truth: logSoftmax([0, -40]) },
      { at: "z = (0, −800)", claimed: naive([0, -800]).map(Math.log), truth: logSoftmax([0, -800]) },
    ],
  },
  {
    source: SLIDES,
    verdict: "ambiguous",
    claim: "log-softmax can be approximated by x − max(x).",
    right: "The error is log-sum-exp − max, up to log K, the same for every class; the exact form is just as stable.",
    evidence: () => [{ at: "z = (1, 1, 1, 1)", claimed: [1, 1, 1, 1].map((x) => x - 1), truth: logSoftmax([1, 1, 1, 1]) }],
  },
  {
    source: SLIDES,
    verdict: "ambiguous",
    claim: "soft-argmax returns the index of the maximum.",
    right: "It returns the mean index, which for two peaks is the valley between them.",
    evidence: () => {
      const mean = (z: number[]) => dot(z.map((_, i) => i), softmax(z));
      return [
        { at: "z = (5, 0, 5)", claimed: ["0 or 2"], truth: [mean([5, 0, 5])] },
        { at: "z = (0, 0, 0, 1)", claimed: [indexOfLargest([0, 0, 0, 1])], truth: [mean([0, 0, 0, 1])] },
      ];
    },
  },
  {
    source: COURSE,
    verdict: "wrong",
    claim: "With w = w<sub>2</sub> − w<sub>1</sub>, Pr(Y = 1) = σ(w<sup>T</sup>x + b).",
    right: "That is Pr(Y = 2); Pr(Y = 1) = σ(z<sub>1</sub> − z<sub>2</sub>).",
    evidence: () => [{ at: "z = (0.4, 1.7)", claimed: [softmax([1.7, 0.4])[0]], truth: [softmax([0.4, 1.7])[0]] }],
  },
  {
    source: COURSE,
    verdict: "wrong",
    claim: "Fit by argmin of −(1/n) Σ L<sub>i</sub>, with L<sub>i</sub> = −log f.",
    right: "The sign is there twice: argmin of (1/n) Σ L<sub>i</sub>. As claimed the worse model would win.",
    evidence: () => [{ at: "score to be minimised for p of the truth = 0.9, then 0.1", claimed: [Math.log(0.9), Math.log(0.1)], truth: [-Math.log(0.9), -Math.log(0.1)] }],
  },
  {
    source: COURSE,
    verdict: "wrong",
    claim: "The denominator runs over k = 0 … v − 1 while the classes are 1 … v.",
    right: "One convention: with classes 1 … v the sum must not drop class v.",
    evidence: () => [{ at: `sum of p when the last class is left out of the denominator, ${AT}`, claimed: [sum(P) / (P[0] + P[1])], truth: [sum(P)] }],
  },
  {
    source: COURSE,
    verdict: "ambiguous",
    claim: "The softmax update is like a perceptron's.",
    right: "Softmax moves every class on every example; the perceptron moves two, and only on mistakes. They meet as the temperature goes to 0.",
    evidence: () => [
      { at: "p − y at z = (0.2, 1.4, −0.3), true class A, T = 1", claimed: [-1, 1, 0], truth: softmaxMember.lossGradient([0.2, 1.4, -0.3], 0) },
      { at: "the same at T = 1/400", claimed: [-1, 1, 0], truth: softmaxMember.lossGradient([80, 560, -120], 0) },
    ],
  },
  {
    source: WHY,
    verdict: "wrong",
    claim: "Without any other constraint equal numbers in each class are “very unnatural”; moderate energies are fuller than extreme ones.",
    right: "Uniform is <em>the</em> maximum of entropy. With a fixed mean energy the weights are monotone in the energy: an extreme level is the fullest.",
    evidence: () => [{ at: "energies (0, 1, 2, 3) with mean 1: β = −0.4196", claimed: ["the middle ones fullest"], truth: softmax([0, 1, 2, 3].map((e) => -0.419629 * e)) }],
  },
  {
    source: WHY,
    verdict: "wrong",
    claim: "The Lagrangian's derivative of N!/Π n<sub>k</sub>! is −ln n − 1 − α + βE.",
    right: "It must be of ln W, and with ln n! ≈ n ln n − n the derivative of ln n! is ln n, without the 1 (which α absorbs, so the result stands).",
    evidence: () => {
      const logFactorial = (n: number) => (n + 0.5) * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI) + 1 / (12 * n);
      const n = 421_350; // large, so that Stirling's own error 1/(2n) is out of sight
      return [{ at: "d ln n! / dn at n = 421350", claimed: [Math.log(n) + 1], truth: [Math.log(n)], measured: [(logFactorial(n + 1) - logFactorial(n - 1)) / 2] }];
    },
  },
  {
    source: WHY,
    verdict: "ambiguous",
    claim: "Softmax maximises the entropy.",
    right: "Only among distributions with the same mean score; without that condition the maximum is uniform.",
    evidence: () => [{ at: `entropy of softmax and of uniform, ${AT}`, claimed: [entropyOf(Z), "the largest"], truth: [entropyOf(Z), Math.log(3)] }],
  },
  {
    source: WHY,
    verdict: "ambiguous",
    claim: "Larger inputs must give larger outputs: softmax is monotonically increasing.",
    right: "Each p grows with its own logit, and shrinks with every other; order is preserved.",
    evidence: () => [{ at: "z = (1, 2, 3), then (1, 2, 4)", claimed: ["no entry falls"], truth: [...softmax([1, 2, 3]), "→", ...softmax([1, 2, 4])] }],
  },
  {
    source: WHY,
    verdict: "ambiguous",
    claim: "Ordinary normalisation would serve with cross-entropy too.",
    right: "Only for positive scores: otherwise the “probabilities” leave the simplex and the loss is undefined.",
    evidence: () => [{ at: "z = (−2, 0, 1)", claimed: linear.value([-2, 0, 1]), truth: softmax([-2, 0, 1]) }],
  },
  {
    source: WHY,
    verdict: "unstable",
    claim: "Softmax gives at least a minimal probability to every class.",
    right: "Exactly, yes; in float64 a gap above 745 is rounded to 0. Work with log p.",
    evidence: () => [{ at: "z = (0, −800): p, then log p of the second", claimed: ["> 0"], truth: [softmax([0, -800])[1], logSoftmax([0, -800])[1]] }],
  },
];
