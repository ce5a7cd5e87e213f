import type { Member } from "./member";
import { vector } from "./vectors";

/** The member after z -> beta z: temperature T = 1/beta, base psi = e^beta. */
export function scaled(member: Member, beta: number): Member {
  const times = (z: number[]) => vector(z.length, (i) => beta * z[i] + 0); // + 0: no negative zero
  return {
    ...member,
    fault: (z) => member.fault(times(z)),
    value: (z) => member.value(times(z)),
    log: (z) => member.log(times(z)),
    jacobian: (z) => member.jacobian(times(z)).map((row) => row.map((x) => beta * x)),
    second: (z) => member.second(times(z)).map((slice) => slice.map((row) => row.map((x) => beta * beta * x))),
    loss: (z, y) => member.loss(times(z), y),
    lossGradient: (z, y) => member.lossGradient(times(z), y).map((x) => beta * x),
  };
}
