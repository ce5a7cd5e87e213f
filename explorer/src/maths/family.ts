import { doubleExponential } from "./doubleExponential";
import { entmax } from "./entmax";
import { hardmax } from "./hardmax";
import { linear, minShift } from "./linear";
import type { Member } from "./member";
import { softmaxMember } from "./softmax";
import { softplus } from "./softplus";
import { sparsemax } from "./sparsemax";
import { spherical } from "./spherical";
import { taylor } from "./taylor";

export interface Parameters {
  order: number;
  epsilon: number;
  alpha: number;
}

export const MEMBER_IDS = ["softmax", "linear", "min_shift", "taylor", "spherical", "softplus", "double_exponential", "entmax", "sparsemax", "hardmax"] as const;

/** Every member, in the order of the page: softmax, the first road, the second road. */
export const family = ({ order, epsilon, alpha }: Parameters): Member[] => [
  softmaxMember,
  linear,
  minShift,
  taylor(order),
  spherical(epsilon),
  softplus,
  doubleExponential,
  entmax(alpha),
  sparsemax,
  hardmax,
];
