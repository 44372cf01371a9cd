//! Every opcode and modifier that the interpreter takes, against plain Rust written from the PTX ISA: special values,
//! extremes and random bits. Inputs and helpers are in `support/`, one subject a file in `opcodes/`.

#[path = "support/instruction.rs"]
mod instruction;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/reals.rs"]
mod reals;
#[path = "support/values.rs"]
mod values;

#[path = "opcodes/access.rs"]
mod access;
#[path = "opcodes/async_copy.rs"]
mod async_copy;
#[path = "opcodes/atomics.rs"]
mod atomics;
#[path = "opcodes/barriers.rs"]
mod barriers;
#[path = "opcodes/bits.rs"]
mod bits;
#[path = "opcodes/carry.rs"]
mod carry;
#[path = "opcodes/collectives.rs"]
mod collectives;
#[path = "opcodes/comparisons.rs"]
mod comparisons;
#[path = "opcodes/control.rs"]
mod control;
#[path = "opcodes/conversions.rs"]
mod conversions;
#[path = "opcodes/floats.rs"]
mod floats;
#[path = "opcodes/halves.rs"]
mod halves;
#[path = "opcodes/hopper_barriers.rs"]
mod hopper_barriers;
#[path = "opcodes/hopper_products.rs"]
mod hopper_products;
#[path = "opcodes/integers.rs"]
mod integers;
#[path = "opcodes/matrices.rs"]
mod matrices;
#[path = "opcodes/moves.rs"]
mod moves;
#[path = "opcodes/refusals.rs"]
mod refusals;
#[path = "opcodes/special_functions.rs"]
mod special_functions;
#[path = "opcodes/variables.rs"]
mod variables;
