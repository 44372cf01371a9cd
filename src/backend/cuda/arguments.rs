//! What kernels take: one structure a kernel, defined once for both languages.
//!
//! `arguments!` defines structures in Rust and writes the same text as a CUDA header, `kernels/<stem>/arguments.cuh`,
//! which is committed; a test holds that it is what Rust says. Pointers carry the type of their values and whether the
//! kernel writes them, and wrappers name every field, so that swapped pointers do not compile.

use std::marker::PhantomData;

mod shared;

pub(crate) use shared::Operand;

/// Values that a kernel reads: the device address of the first, or null where the kernel allows that.
#[repr(transparent)]
pub(crate) struct In<T> {
    address: u64,
    values: PhantomData<fn() -> T>,
}

/// Values that a kernel writes, and may read: as [`In`].
#[repr(transparent)]
pub(crate) struct Out<T> {
    address: u64,
    values: PhantomData<fn() -> T>,
}

macro_rules! pointer {
    ($name:ident, $before:literal) => {
        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $name<T> {}

        impl<T> $name<T> {
            /// No values.
            pub(crate) const NULL: Self = $name::new(0);

            /// The values from this device address on.
            pub(super) const fn new(address: u64) -> Self {
                $name { address, values: PhantomData }
            }
        }

        // SAFETY: a transparent u64: 8 bytes, all of them written, aligned as a pointer of the device is.
        unsafe impl<T: Value> Layout for $name<T> {
            #[cfg(test)]
            fn declare(name: &str) -> String {
                format!(concat!($before, "{}* {}"), T::CUDA, name)
            }
        }
    };
}
pointer!(In, "const ");
pointer!(Out, "");

impl In<f32> {
    /// The same values, by their bits.
    pub(crate) fn bits(self) -> In<u32> {
        In::new(self.address)
    }
}

impl<T> Out<T> {
    /// The device address of the first value; 0 where there are none.
    pub(super) fn address(self) -> u64 {
        self.address
    }

    /// The same values, to be read.
    pub(crate) fn read(self) -> In<T> {
        In::new(self.address)
    }
}

/// What pointers of kernels point at.
pub(crate) trait Value {
    /// Its name in CUDA.
    #[cfg(test)]
    const CUDA: &'static str;
}

/// A value of a table: fp32, bf16 or fp16, as the kernel's name says.
pub(crate) struct TableValue;

macro_rules! values {
    ($($rust:ty => $cuda:literal),* $(,)?) => {
        $(impl Value for $rust {
            #[cfg(test)]
            const CUDA: &'static str = $cuda;
        })*
    };
}
values! {
    f32 => "float", f64 => "double", u16 => "u16", u32 => "u32", u64 => "u64",
    [f32; 2] => "float2", [f32; 4] => "float4", [f64; 2] => "double2", [u32; 2] => "uint2", TableValue => "void",
}

/// A type of a field.
///
/// # Safety
/// The type's size, alignment and meaning of its bytes are those of what `declare` says, and every byte of a value is
/// initialised.
pub(crate) unsafe trait Layout: Copy {
    /// The CUDA declaration of a field of this name.
    #[cfg(test)]
    fn declare(name: &str) -> String;
}

macro_rules! numbers {
    ($($rust:ty => $cuda:literal),*) => {
        // SAFETY: the same number in both languages.
        $(unsafe impl Layout for $rust {
            #[cfg(test)]
            fn declare(name: &str) -> String {
                format!(concat!($cuda, " {}"), name)
            }
        })*
    };
}
numbers!(u32 => "u32", u64 => "u64", f32 => "float", f64 => "double");

// SAFETY: both languages lay an array's elements side by side.
unsafe impl<T: Layout, const N: usize> Layout for [T; N] {
    #[cfg(test)]
    fn declare(name: &str) -> String {
        format!("{}[{N}]", T::declare(name))
    }
}

/// Four bytes between or behind fields, so that none is left uninitialised.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Pad {
    Zero = 0,
}

// SAFETY: four bytes, always zero.
unsafe impl Layout for Pad {
    #[cfg(test)]
    fn declare(name: &str) -> String {
        u32::declare(name)
    }
}

/// The one argument of a kernel. `arguments!` implements it, nothing else.
///
/// # Safety
/// As [`Layout`]; the structure has the same name and layout in CUDA, and no padding.
pub(crate) unsafe trait KernelArgs: Layout {}

/// Structures for both languages: `"<path of the header>" with "<headers that it includes>", ..: struct Name { .. }`.
///
/// A structure whose fields leave bytes between or behind them does not compile: order the fields by size, and end with a
/// [`Pad`] where their number is odd.
macro_rules! arguments {
    ($path:literal with $($include:literal),*:
     $($(#[doc = $doc:literal])* struct $name:ident {
         $($(#[doc = $field_doc:literal])* $field:ident: $type:ty,)*
     })*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Copy)]
            #[repr(C)]
            pub(crate) struct $name {
                $($(#[doc = $field_doc])* pub $field: $type,)*
            }

            const _: () = assert!(
                size_of::<$name>() == 0 $(+ size_of::<$type>())*,
                concat!(stringify!($name), " has bytes that no field fills")
            );

            // SAFETY: repr(C) with fields that have their CUDA types' layouts, and no byte beside them (asserted above).
            unsafe impl $crate::backend::cuda::arguments::Layout for $name {
                #[cfg(test)]
                fn declare(name: &str) -> String {
                    format!(concat!(stringify!($name), " {}"), name)
                }
            }

            impl $crate::backend::cuda::arguments::Value for $name {
                #[cfg(test)]
                const CUDA: &'static str = stringify!($name);
            }

            // SAFETY: as above; the header declares the structure by this name.
            unsafe impl $crate::backend::cuda::arguments::KernelArgs for $name {}
        )*

        /// The path of the header below `kernels/`, and its text.
        #[cfg(test)]
        pub(crate) fn header() -> (&'static str, String) {
            use $crate::backend::cuda::arguments::{Layout, structure, text};
            let structures = [$(structure(
                &[$($doc),*],
                stringify!($name),
                &[$((&[$($field_doc),*], <$type>::declare(stringify!($field)))),*],
                size_of::<$name>(),
            )),*];
            ($path, text(&[$($include),*], &structures))
        }
    };
}
pub(crate) use arguments;

/// A structure's CUDA text. Its fields' declarations come with their comments.
#[cfg(test)]
pub(crate) fn structure(doc: &[&str], name: &str, fields: &[(&[&str], String)], bytes: usize) -> String {
    let mut out = String::new();
    let mut line = |line: String| {
        out.push_str(line.trim_end());
        out.push('\n');
    };
    for doc in doc {
        line(format!("//{doc}"));
    }
    line(format!("struct {name} {{"));
    for (doc, declaration) in fields {
        for doc in *doc {
            line(format!("    //{doc}"));
        }
        line(format!("    {declaration};"));
    }
    line("};".into());
    line(format!("static_assert(sizeof({name}) == {bytes}, \"the size of {name} on the host\");"));
    out
}

/// A header's text.
#[cfg(test)]
pub(crate) fn text(includes: &[&str], structures: &[String]) -> String {
    let mut out =
        "// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.\n".to_owned();
    out.push_str("#pragma once\n");
    for include in includes {
        out.push_str(&format!("#include \"{include}\"\n"));
    }
    for structure in structures {
        out.push('\n');
        out.push_str(structure);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cuda::{embedding, linear, loss, norm, optim, tiles, topk};

    #[test]
    fn headers_are_what_rust_says() {
        let kernels = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let write = std::env::var_os("WRITE_ARGUMENTS").is_some();
        let headers = [
            shared::header(),
            embedding::arguments::header(),
            linear::arguments::header(),
            loss::arguments::header(),
            loss::sm90a::arguments::header(),
            norm::arguments::header(),
            optim::arguments::header(),
            tiles::arguments::header(),
            topk::arguments::header(),
            topk::sm90a::arguments::header(),
        ];
        for (name, text) in headers {
            let path = kernels.join(name);
            if write {
                std::fs::write(&path, &text).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "kernels/{name} is not what Rust says: `just arguments` writes it\n{text}");
        }
    }
}
