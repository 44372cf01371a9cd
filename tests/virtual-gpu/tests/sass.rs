//! The machine code that the committed PTX becomes for sm_80, sm_90 and sm_100 (or for sm_90a alone), held to its budgets and to its design.

use virtual_gpu::toolkit::Toolkit;
use virtual_gpu::toolkit::budget::Budgets;
use virtual_gpu::toolkit::figures::{Kernel, measure};
use virtual_gpu::toolkit::ptxas::ARCHS;

/// Kernels whose products belong on the tensor cores: they are named by the precision of their products.
fn multiplies(kernel: &Kernel) -> bool {
    let precision = kernel.name.split('_').any(|word| matches!(word, "bf16" | "fp32"));
    matches!(kernel.stem.as_str(), "linear" | "loss") && precision
}

/// Kernels that multiply by warpgroups.
fn by_warpgroups(kernel: &Kernel) -> bool {
    let of = |word: &str| kernel.name.split('_').any(|found| found == word);
    kernel.stem.ends_with("_sm90a") && ["fwd", "bwd", "scan", "sample"].iter().any(|word| of(word))
}

/// Lookups: rows of fp32 that are aligned come 16 bytes a lane.
fn looks_up(kernel: &Kernel) -> bool {
    kernel.name == "embedding_pools"
}

fn design(kernel: &Kernel, findings: &mut Vec<String>) {
    for (arch, figures) in &kernel.figures {
        let mut tell = |what: String| findings.push(format!("{} for {arch}: {what}", kernel.name));
        if multiplies(kernel) {
            if figures.main_loops.is_empty() {
                tell("no loop holds tensor-core products".into());
            }
            for main in &figures.main_loops {
                if main.ldsm == 0 || main.ldgsts == 0 {
                    tell(format!("its operands do not come by LDSM and LDGSTS: {main:?}"));
                }
                if kernel.stem == "linear" && main.ffma > 0 {
                    tell(format!("{} FFMA among the products", main.ffma));
                }
            }
        }
        if by_warpgroups(kernel) && (figures.wgmma == 0 || figures.bulk_copies == 0 || figures.main_loops.is_empty()) {
            tell("no loop of wgmma on tiles that bulk copies bring".into());
        }
        if looks_up(kernel) && figures.ldg_128 == 0 {
            tell("no loads of 16 bytes a lane".into());
        }
    }
}

#[test]
fn machine_code_keeps_its_budgets_and_its_design() {
    let Some(toolkit) = Toolkit::find_or_skip() else { return };
    let kernels = measure(&toolkit, &[]).unwrap();
    let of_each = |kernel: &Kernel| match kernel.stem.ends_with("_sm90a") {
        true => kernel.figures.keys().eq(["sm_90a"]),
        false => kernel.figures.len() == ARCHS.len(),
    };
    assert!(kernels.iter().all(of_each), "every kernel is there for each");
    let mut findings = Budgets::load().unwrap().check(&kernels);
    for kernel in &kernels {
        design(kernel, &mut findings);
    }
    for stem in ["linear", "loss"] {
        if kernels.iter().any(|kernel| kernel.stem == stem) && !kernels.iter().any(|k| k.stem == stem && multiplies(k))
        {
            findings.push(format!("no kernel of {stem} is named by its precision"));
        }
    }
    if kernels.iter().any(|kernel| kernel.stem == "embedding") && !kernels.iter().any(looks_up) {
        findings.push("no kernel of embedding is known to look up".into());
    }
    let advice = "new figures are accepted with `cargo vgpu sass --update`";
    assert!(findings.is_empty(), "{advice}:\n{}", findings.join("\n"));
}
