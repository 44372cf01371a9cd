//! The subcommands `ptx` and `sass` of `virtual-gpu`.

use std::time::Instant;

use super::budget::{self, Budgets};
use super::figures::{Figures, Kernel, measure};
use super::{Result, Toolkit, committed};

/// `virtual-gpu ptx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ptx {
    /// Write `kernels/ptx/`.
    Write,
    /// Compare it.
    Check,
}

/// `virtual-gpu sass`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sass {
    /// Print the figures of these stems, or of all.
    Print(Vec<String>),
    /// Make the figures of now the budgets, of these stems or of all.
    Update(Vec<String>),
    /// Compare them with the budgets.
    Check,
}

impl Ptx {
    /// Reads the arguments behind `ptx`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_arguments(arguments: &[String]) -> std::result::Result<Ptx, String> {
        match arguments {
            [] => Ok(Ptx::Write),
            [flag] if flag == "--check" => Ok(Ptx::Check),
            [other, ..] => Err(format!("`ptx` takes nothing or --check, not `{other}`")),
        }
    }

    /// Does it, with its lines on standard output. Returns whether all is well.
    ///
    /// # Errors
    /// As [`committed::regenerate`].
    pub fn execute(self) -> Result<bool> {
        let start = Instant::now();
        let generated = committed::regenerate(&Toolkit::find()?)?;
        let lines: Vec<String> = match self {
            Ptx::Write => committed::write(&generated)?,
            Ptx::Check => committed::differences(&generated)?.iter().map(ToString::to_string).collect(),
        };
        for line in &lines {
            println!("{line}");
        }
        let (count, seconds) = (generated.len(), start.elapsed().as_secs_f64());
        println!("{count} stems compiled in {seconds:.0} s, {} files differed", lines.len());
        if self == Ptx::Check && !lines.is_empty() {
            println!("write them with: cargo vgpu ptx");
        }
        Ok(self == Ptx::Write || lines.is_empty())
    }
}

impl Sass {
    /// Reads the arguments behind `sass`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_arguments(arguments: &[String]) -> std::result::Result<Sass, String> {
        match arguments {
            [flag, stems @ ..] if flag == "--update" && stems.iter().all(|stem| !stem.starts_with('-')) => {
                Ok(Sass::Update(stems.to_vec()))
            }
            [flag] if flag == "--check" => Ok(Sass::Check),
            stems => match stems.iter().find(|stem| stem.starts_with('-')) {
                Some(flag) => Err(format!("`sass` takes stems, --update and stems, or --check alone, not `{flag}`")),
                None => Ok(Sass::Print(stems.to_vec())),
            },
        }
    }

    /// Does it, with its lines on standard output. Returns whether all is well.
    ///
    /// # Errors
    /// As [`measure`], and as [`Budgets::load`].
    pub fn execute(&self) -> Result<bool> {
        let toolkit = Toolkit::find()?;
        let start = Instant::now();
        let stems: &[String] = if let Sass::Print(stems) | Sass::Update(stems) = self { stems } else { &[] };
        let kernels = measure(&toolkit, stems)?;
        let budgets = Budgets::load()?;
        let findings = match self {
            Sass::Print(_) => {
                print_table(&kernels);
                Vec::new()
            }
            Sass::Update(_) => {
                let updated = budgets.updated(&kernels, stems);
                updated.store()?;
                println!("{} written", budget::path().display());
                // What no budget allows stays a finding.
                updated.of(stems).check(&kernels)
            }
            Sass::Check => budgets.check(&kernels),
        };
        for finding in &findings {
            println!("{finding}");
        }
        println!("{} kernels assembled in {:.0} s", kernels.len(), start.elapsed().as_secs_f64());
        if *self == Sass::Check && !findings.is_empty() {
            println!("accept new figures with: cargo vgpu sass --update");
        }
        Ok(findings.is_empty())
    }
}

fn print_table(kernels: &[Kernel]) {
    let width = kernels.iter().map(|kernel| kernel.name.len()).max().unwrap_or(0);
    let columns = "registers spill  stack shared blocks  HMMA  IMMA wgmma  bulk  LDSM LDGSTS LDG128 STG128 LDS128   FFMA atomics  total";
    println!("{:width$} arch   {columns}  main loops: instructions/products/LDSM/LDGSTS/FFMA", "kernel");
    for Kernel { name, figures, .. } in kernels {
        for (arch, figures) in figures {
            println!("{name:width$} {arch:6} {}", row(figures).trim_end());
        }
    }
    println!("shared: static bytes alone; blocks: per multiprocessor, by registers, threads and static shared memory");
}

fn row(f: &Figures) -> String {
    let loops =
        f.main_loops.iter().map(|l| format!("{}/{}/{}/{}/{}", l.instructions, l.products, l.ldsm, l.ldgsts, l.ffma));
    format!(
        "{:9} {:5} {:6} {:6} {:6} {:5} {:5} {:5} {:5} {:5} {:6} {:6} {:6} {:6} {:6} {:7} {:6}  {}",
        f.registers,
        f.spill_bytes,
        f.stack_bytes,
        f.shared_bytes,
        f.blocks_per_sm,
        f.hmma,
        f.imma,
        f.wgmma,
        f.bulk_copies,
        f.ldsm,
        f.ldgsts,
        f.ldg_128,
        f.stg_128,
        f.lds_128,
        f.ffma,
        f.atomics,
        f.instructions,
        loops.collect::<Vec<_>>().join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(Ptx::from_arguments(&[]), Ok(Ptx::Write));
        assert_eq!(Ptx::from_arguments(&words("--check")), Ok(Ptx::Check));
        assert!(Ptx::from_arguments(&words("loss")).unwrap_err().contains("`loss`"));
        assert_eq!(Sass::from_arguments(&words("loss topk")), Ok(Sass::Print(words("loss topk"))));
        assert_eq!(Sass::from_arguments(&words("--update")), Ok(Sass::Update(Vec::new())));
        assert_eq!(Sass::from_arguments(&words("--update loss")), Ok(Sass::Update(words("loss"))));
        assert!(Sass::from_arguments(&words("--check loss")).unwrap_err().contains("`--check`"));
    }
}
