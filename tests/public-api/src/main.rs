//! Prints a library's public API, an item a line, from rustdoc's JSON.

use std::error::Error;

use public_api::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    let json = std::env::args().nth(1).ok_or("usage: tercel-public-api target/doc/tercel.json")?;
    let builder = Builder::from_rustdoc_json(json).omit_blanket_impls(true).omit_auto_trait_impls(true);
    print!("{}", builder.omit_auto_derived_impls(true).build()?);
    Ok(())
}
