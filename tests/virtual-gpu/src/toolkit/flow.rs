//! The loops of a function's machine code: natural loops of its control-flow graph. Addresses alone would mislead: the
//! assembler moves rare code behind the end, from where it branches back into the middle of a loop.

use super::sass::{Function, Instruction};

/// A natural loop: the places of its instructions, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// Place of its first instruction: all paths into it come through here.
    pub header: usize,
    /// Places of all its instructions, inner loops included.
    pub body: Vec<usize>,
}

impl Loop {
    /// Whether `other` lies in this loop and is not the same.
    pub fn encloses(&self, other: &Loop) -> bool {
        self.body.len() > other.body.len() && other.body.iter().all(|place| self.body.binary_search(place).is_ok())
    }
}

/// Basic blocks and their edges.
struct Graph {
    /// First instruction of each block; then the number of instructions.
    starts: Vec<usize>,
    successors: Vec<Vec<usize>>,
}

/// Whether control never goes on to the next instruction.
fn ends(instruction: &Instruction) -> bool {
    !instruction.conditional && matches!(instruction.base(), "BRA" | "BRX" | "JMP" | "EXIT" | "KILL")
        || instruction.base() == "RET"
}

fn branch(instruction: &Instruction) -> Option<usize> {
    // A call comes back, and BSSY only names the place where lanes meet again.
    instruction.target.filter(|_| matches!(instruction.base(), "BRA" | "JMP"))
}

impl Graph {
    fn new(code: &[Instruction]) -> Graph {
        let mut starts = vec![0];
        for (place, instruction) in code.iter().enumerate() {
            starts.extend(branch(instruction));
            if branch(instruction).is_some() || ends(instruction) {
                starts.push(place + 1);
            }
        }
        starts.push(code.len());
        starts.sort_unstable();
        starts.dedup();
        let block_of = |place: usize| starts.partition_point(|&start| start <= place) - 1;
        let blocks = starts.windows(2).map(|ends| ends[1] - 1);
        let successors = blocks.enumerate().map(|(block, last)| {
            let next = Some(block + 1).filter(|_| !ends(&code[last]) && last + 1 < code.len());
            branch(&code[last]).map(block_of).into_iter().chain(next).collect()
        });
        let successors = successors.collect();
        Graph { starts, successors }
    }

    /// Blocks that can be reached from the first, each before its successors where no loop forbids it.
    fn reverse_postorder(&self) -> Vec<usize> {
        let mut seen = vec![false; self.successors.len()];
        let mut order = Vec::new();
        let mut stack = vec![(0, 0)];
        seen[0] = true;
        while let Some((block, edge)) = stack.pop() {
            match self.successors[block].get(edge) {
                Some(&next) => {
                    stack.push((block, edge + 1));
                    if !std::mem::replace(&mut seen[next], true) {
                        stack.push((next, 0));
                    }
                }
                None => order.push(block),
            }
        }
        order.reverse();
        order
    }
}

/// The immediate dominator of each block that can be reached (Cooper, Harvey, Kennedy: "A Simple, Fast Dominance
/// Algorithm"), with each block's rank in `order`.
fn dominators(order: &[usize], predecessors: &[Vec<usize>]) -> (Vec<Option<usize>>, Vec<usize>) {
    let mut rank = vec![usize::MAX; predecessors.len()];
    for (position, &block) in order.iter().enumerate() {
        rank[block] = position;
    }
    let mut immediate = vec![None; predecessors.len()];
    immediate[0] = Some(0);
    let mut changed = true;
    while changed {
        changed = false;
        for &block in &order[1..] {
            let mut common: Option<usize> = None;
            for &from in predecessors[block].iter().filter(|&&from| immediate[from].is_some()) {
                common = Some(common.map_or(from, |mut a| {
                    let mut b = from;
                    while a != b {
                        while rank[a] > rank[b] {
                            a = immediate[a].unwrap_or(0);
                        }
                        while rank[b] > rank[a] {
                            b = immediate[b].unwrap_or(0);
                        }
                    }
                    a
                }));
            }
            changed |= immediate[block] != common;
            immediate[block] = common;
        }
    }
    (immediate, rank)
}

/// All loops, by the place of their headers. Back edges to one header make one loop.
pub fn loops(function: &Function) -> Vec<Loop> {
    if function.code.is_empty() {
        return Vec::new();
    }
    let graph = Graph::new(&function.code);
    let order = graph.reverse_postorder();
    let mut predecessors = vec![Vec::new(); graph.successors.len()];
    for &block in &order {
        for &next in &graph.successors[block] {
            predecessors[next].push(block);
        }
    }
    let (immediate, rank) = dominators(&order, &predecessors);
    let dominates = |above: usize, mut block: usize| {
        while rank[block] > rank[above] {
            block = immediate[block].unwrap_or(0);
        }
        block == above
    };
    let mut loops = Vec::new();
    for &header in &order {
        let mut inside = vec![false; graph.successors.len()];
        let mut work: Vec<_> = predecessors[header].iter().copied().filter(|&from| dominates(header, from)).collect();
        if work.is_empty() {
            continue;
        }
        inside[header] = true;
        while let Some(block) = work.pop() {
            if !std::mem::replace(&mut inside[block], true) {
                work.extend(&predecessors[block]);
            }
        }
        let blocks = (0..inside.len()).filter(|&block| inside[block]);
        let body = blocks.flat_map(|block| graph.starts[block]..graph.starts[block + 1]).collect();
        loops.push(Loop { header: graph.starts[header], body });
    }
    loops.sort_unstable_by_key(|found| found.header);
    loops
}

#[cfg(test)]
mod tests {
    use super::super::sass::parse;
    use super::*;

    fn bodies(code: &str) -> Vec<Vec<usize>> {
        let function = parse(&format!(".text.f:\n{code}")).unwrap().remove(0);
        loops(&function).into_iter().map(|found| found.body).collect()
    }

    #[test]
    fn loops_nest() {
        let code = "\
/*00*/ MOV R0, R1 ;
.L_outer:
/*10*/ LDGSTS.E R0, [R1] ;
.L_inner:
/*20*/ HMMA.16816.F32 R0, R1, R2, R3 ;
/*30*/ @P0 BRA `(.L_inner) ;
/*40*/ BRA.U UP0, `(.L_outer) ;
/*50*/ EXIT ;
.L_end:
/*60*/ BRA `(.L_end) ;
";
        assert_eq!(bodies(code), [vec![1, 2, 3, 4], vec![2, 3]]);
        let function = parse(&format!(".text.f:\n{code}")).unwrap().remove(0);
        let found = loops(&function);
        assert!(found[0].encloses(&found[1]) && !found[1].encloses(&found[0]) && !found[0].encloses(&found[0]));
    }

    #[test]
    fn rare_code_behind_the_end_belongs_to_its_loop() {
        let code = "\
.L_loop:
/*00*/ @P1 BRA `(.L_rare) ;
/*10*/ HMMA.16816.F32 R0, R1, R2, R3 ;
.L_back:
/*20*/ FFMA R0, R1, R2, R3 ;
/*30*/ @P0 BRA `(.L_loop) ;
/*40*/ EXIT ;
.L_rare:
/*50*/ CALL.REL.NOINC `(.L_function) ;
/*60*/ BRA `(.L_back) ;
.L_function:
/*70*/ RET.REL.NODEC R6 `(f) ;
";
        assert_eq!(bodies(code), [vec![0, 1, 2, 3, 5, 6]]);
    }

    #[test]
    fn straight_code_has_no_loop() {
        assert_eq!(bodies("/*00*/ @P0 EXIT ;\n/*10*/ EXIT ;\n"), Vec::<Vec<usize>>::new());
        assert_eq!(bodies(""), Vec::<Vec<usize>>::new());
    }
}
