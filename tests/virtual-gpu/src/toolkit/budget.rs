//! The budgets that `budgets/sass.json` commits: each kernel's figures when they were last accepted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::figures::{Figures, Kernel};
use super::{Result, ToolkitError, read, repository};

/// Instructions may grow by this share before it is a finding: one part in 50.
const INSTRUCTION_MARGIN: u32 = 50;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// Kernels by name.
    pub kernels: BTreeMap<String, Budget>,
}

/// What one kernel may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The stem of its source.
    pub stem: String,
    /// Why one block to a multiprocessor is enough, where no second one fits. Written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_block: Option<String>,
    /// By architecture (`sm_80`).
    pub figures: BTreeMap<String, Figures>,
}

/// Where the file lies.
pub fn path() -> PathBuf {
    repository().join("tests/virtual-gpu/budgets/sass.json")
}

impl Budgets {
    /// Reads the file. Without one there are no budgets.
    ///
    /// # Errors
    /// [`ToolkitError::Io`], [`ToolkitError::Budgets`].
    pub fn load() -> Result<Budgets> {
        let path = path();
        if !path.exists() {
            return Ok(Budgets::default());
        }
        serde_json::from_str(&read(&path)?).map_err(|e| ToolkitError::Budgets { path, reason: e.to_string() })
    }

    /// The budgets of some stems (all where empty).
    pub fn of(&self, stems: &[String]) -> Budgets {
        let wanted = |budget: &Budget| stems.is_empty() || stems.contains(&budget.stem);
        let kernels = self.kernels.iter().filter(|(_, budget)| wanted(budget));
        Budgets { kernels: kernels.map(|(name, budget)| (name.clone(), budget.clone())).collect() }
    }

    /// These budgets, but for the kernels of some stems (all where empty) what they use now.
    pub fn updated(&self, kernels: &[Kernel], stems: &[String]) -> Budgets {
        let mut updated = self.from_kernels(kernels);
        let others = self.kernels.iter().filter(|(_, budget)| !stems.is_empty() && !stems.contains(&budget.stem));
        updated.kernels.extend(others.map(|(name, budget)| (name.clone(), budget.clone())));
        updated
    }

    /// Budgets that are what the kernels use now; the reasons stay.
    pub fn from_kernels(&self, kernels: &[Kernel]) -> Budgets {
        let budget = |kernel: &Kernel| {
            let one_block = self.kernels.get(&kernel.name).and_then(|budget| budget.one_block.clone());
            Budget { stem: kernel.stem.clone(), one_block, figures: kernel.figures.clone() }
        };
        Budgets { kernels: kernels.iter().map(|kernel| (kernel.name.clone(), budget(kernel))).collect() }
    }

    /// The file's text: a line for each kernel and architecture, so that a change reads well in a diff.
    fn text(&self) -> serde_json::Result<String> {
        let mut kernels = Vec::new();
        for (name, budget) in &self.kernels {
            let mut lines = vec![format!("      \"stem\": {}", serde_json::to_string(&budget.stem)?)];
            if let Some(reason) = &budget.one_block {
                lines.push(format!("      \"one_block\": {}", serde_json::to_string(reason)?));
            }
            let figures = budget
                .figures
                .iter()
                .map(|(arch, figures)| Ok(format!("        \"{arch}\": {}", serde_json::to_string(figures)?)));
            let figures = figures.collect::<serde_json::Result<Vec<_>>>()?.join(",\n");
            lines.push(format!("      \"figures\": {{\n{figures}\n      }}"));
            kernels.push(format!("    {}: {{\n{}\n    }}", serde_json::to_string(name)?, lines.join(",\n")));
        }
        Ok(format!("{{\n  \"kernels\": {{\n{}\n  }}\n}}\n", kernels.join(",\n")))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`ToolkitError::Io`], [`ToolkitError::Budgets`].
    pub fn store(&self) -> Result<()> {
        let path = path();
        let text = self.text().map_err(|e| ToolkitError::Budgets { path: path.clone(), reason: e.to_string() })?;
        let folder = path.parent().unwrap_or(&path);
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
        written.map_err(|source| ToolkitError::Io { path, source })
    }

    /// Everything about the kernels that the budgets do not allow, one line each. Nothing allows spilled registers or wgmma
    /// that ptxas serialises.
    pub fn check(&self, kernels: &[Kernel]) -> Vec<String> {
        let mut findings = Vec::new();
        for Kernel { name, figures, .. } in kernels {
            let budget = self.kernels.get(name);
            // A kernel for one architecture alone is fast only by what that one has.
            if figures.keys().any(|arch| arch.ends_with('a'))
                && figures.values().any(|f| f.wgmma > 0 && f.main_loops.is_empty())
            {
                findings.push(format!("{name}: no loop holds its wgmma"));
            }
            for (arch, found) in figures {
                if found.spill_bytes > 0 {
                    findings.push(format!("{name} for {arch}: {} bytes of registers are spilled", found.spill_bytes));
                }
                if found.serialised > 0 {
                    let places = found.serialised;
                    findings.push(format!("{name} for {arch}: ptxas serialises wgmma ({places} messages of ptxas -v)"));
                }
                if found.blocks_per_sm < 2 && budget.is_none_or(|budget| budget.one_block.is_none()) {
                    findings.push(format!("{name} for {arch}: one block fits, and no `one_block` says why"));
                }
                match budget.and_then(|budget| budget.figures.get(arch)) {
                    None => findings.push(format!("{name} for {arch}: no budget")),
                    Some(allowed) => findings.extend(over(name, arch, found, allowed)),
                }
            }
        }
        for name in self.kernels.keys().filter(|name| kernels.iter().all(|kernel| kernel.name != **name)) {
            findings.push(format!("{name}: a budget and no kernel"));
        }
        findings
    }
}

fn over(name: &str, arch: &str, found: &Figures, allowed: &Figures) -> Vec<String> {
    let ffma = |figures: &Figures| figures.main_loops.iter().map(|found| found.ffma).sum::<u32>();
    let figures = [
        ("registers", found.registers, allowed.registers),
        ("bytes of stack", found.stack_bytes, allowed.stack_bytes),
        ("bytes of static shared memory", found.shared_bytes, allowed.shared_bytes),
        ("instructions", found.instructions, allowed.instructions + allowed.instructions / INSTRUCTION_MARGIN),
        ("atomics", found.atomics, allowed.atomics),
        ("FFMA in the main loops", ffma(found), ffma(allowed)),
    ];
    let over = figures.into_iter().filter(|(_, found, allowed)| found > allowed);
    over.map(|(what, found, allowed)| format!("{name} for {arch}: {found} {what}, the budget is {allowed}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::figures::MainLoop;
    use super::*;

    fn kernel(figures: Figures) -> Kernel {
        Kernel { stem: "s".into(), name: "k".into(), figures: [("sm_80".into(), figures)].into() }
    }

    fn good() -> Figures {
        Figures { registers: 40, instructions: 100, blocks_per_sm: 6, ..Figures::default() }
    }

    #[test]
    fn what_is_over_its_budget_is_told() {
        let budgets = Budgets::default().from_kernels(&[kernel(good())]);
        let check = |change: fn(&mut Figures)| {
            let mut figures = good();
            change(&mut figures);
            budgets.check(&[kernel(figures)])
        };
        assert_eq!(check(|_| ()), Vec::<String>::new());
        assert_eq!(check(|f| (f.registers, f.instructions) = (30, 102)), Vec::<String>::new());
        assert_eq!(check(|f| f.registers = 41), ["k for sm_80: 41 registers, the budget is 40"]);
        assert_eq!(check(|f| f.instructions = 103), ["k for sm_80: 103 instructions, the budget is 102"]);
        assert_eq!(check(|f| f.spill_bytes = 4), ["k for sm_80: 4 bytes of registers are spilled"]);
        let serialised = check(|f| f.serialised = 2);
        assert_eq!(serialised, ["k for sm_80: ptxas serialises wgmma (2 messages of ptxas -v)"]);
        let ffma = check(|f| f.main_loops = vec![MainLoop { ffma: 1, ..MainLoop::default() }]);
        assert_eq!(ffma, ["k for sm_80: 1 FFMA in the main loops, the budget is 0"]);
        assert_eq!(budgets.check(&[]), ["k: a budget and no kernel"]);
        assert_eq!(Budgets::default().check(&[kernel(good())]), ["k for sm_80: no budget"]);
    }

    #[test]
    fn some_stems_are_updated_alone() {
        let other = Kernel { stem: "t".into(), name: "l".into(), ..kernel(good()) };
        let budgets = Budgets::default().from_kernels(&[kernel(good()), other]);
        let stems = ["s".to_owned()];
        let grown = kernel(Figures { registers: 50, ..good() });
        let updated = budgets.updated(std::slice::from_ref(&grown), &stems);
        assert_eq!(updated.kernels["l"], budgets.kernels["l"]);
        assert_eq!(updated.kernels["k"].figures["sm_80"].registers, 50);
        assert_eq!(updated.of(&stems).check(&[grown]), Vec::<String>::new());
        assert_eq!(budgets.updated(&[], &[]), Budgets::default());
    }

    #[test]
    fn one_block_needs_a_reason_that_updates_keep() {
        let one = kernel(Figures { blocks_per_sm: 1, ..good() });
        let mut budgets = Budgets::default().from_kernels(std::slice::from_ref(&one));
        assert_eq!(budgets.check(std::slice::from_ref(&one)).len(), 1);
        budgets.kernels.get_mut("k").unwrap().one_block = Some("its rows fill the registers".into());
        let updated = budgets.from_kernels(std::slice::from_ref(&one));
        assert_eq!(updated.check(&[one]), Vec::<String>::new());
        assert_eq!(serde_json::from_str::<Budgets>(&updated.text().unwrap()).unwrap(), updated);
    }
}
