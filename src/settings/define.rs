//! One definition per setting: [`settings!`] makes the struct, its default, its documentation, its keys and its flags.

/// Defines a table of settings.
///
/// ```text
/// settings! {
///     /// What the table is.
///     pub struct Tower["Model and training"] {          // the heading of its flags in --help
///         /// Width of the embeddings.                     rustdoc and --help
///         pub dim: usize = 64 => flag("D").check(limits::width(MAX_DIM));      // --dim <D>, dim = 64 in TOML
///         /// How much popularity counts.
///         pub popularity: Option<f32> = None, "0.5 or 0";   // left open: what it becomes, in words
///         /// The user tower.
///         pub user: Tower, table;                           // a table in the table: [tower.user]
///         /// How files are read.
///         pub read: ReadOptions, flat;                      // its settings stand among these
///     }
/// }
/// ```
///
/// After `=>` stand methods of [`Definition`] (of [`Nested`] for tables). Everything else is derived: `Default`, serde
/// (every key may be left out, unknown keys are refused), [`Table::settings`], [`Table::check`].
macro_rules! settings {
    ($(
        $(#[doc = $about:literal])+
        $(#[derive($derive:ident)])?
        pub struct $name:ident[$heading:literal] {$(
            $(#[doc = $doc:literal])+
            pub $field:ident: $type:ty $(= $default:expr $(, $open:literal)?)? $(, $kind:ident)?
                $(=> $($option:ident($($argument:expr),*)).+)?;
        )+}
    )+) => {$(
        $(#[doc = $about])+
        $(#[derive($derive)])?
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {$(
            $(#[doc = $doc])+
            $(#[doc = ""]
            #[doc = $crate::settings::define::settings!(@says $default $(, $open)?)])?
            pub $field: $type,
        )+}

        impl Default for $name {
            fn default() -> Self {
                $name {$($field: $crate::settings::define::settings!(@default $($default)?),)+}
            }
        }

        impl $crate::settings::Table for $name {
            const HEADING: &'static str = $heading;

            fn settings() -> Vec<$crate::settings::Setting<Self>> {
                let mut all = Vec::new();
                $({
                    let words = concat!($($doc, "\n"),+);
                    let definition = $crate::settings::define::settings!(
                        @define $name $field [$($kind)?] words $($($open)?)?
                    );
                    definition $($(.$option($($argument),*))+)?.end(&mut all);
                })+
                all
            }

            // A flat part adds several keys at once.
            #[allow(clippy::vec_init_then_push)]
            fn keys() -> Vec<&'static str> {
                let mut keys = Vec::new();
                $($crate::settings::define::settings!(@key keys $field $type [$($kind)?]);)+
                keys
            }

            fn take<'de, A: serde::de::MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
                $($crate::settings::define::settings!(@take self map key $field [$($kind)?]);)+
                Ok(false)
            }

            fn give<S: serde::ser::SerializeStruct>(&self, to: &mut S) -> Result<(), S::Error> {
                $($crate::settings::define::settings!(@give self to $field [$($kind)?]);)+
                Ok(())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                $crate::settings::fields::write(self, stringify!($name), to)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::settings::fields::read(from)
            }
        }
    )+};
    (@says $default:expr) => { concat!("Default `", stringify!($default), "`.") };
    (@says $default:expr, $open:literal) => { concat!("Default: ", $open, ".") };
    (@default $default:expr) => { $default };
    (@default) => { Default::default() };
    (@define $name:ident $field:ident [] $doc:ident $($open:literal)?) => {
        $crate::settings::Definition::<$name, _>::new(
            stringify!($field), $doc, concat!("" $(, $open)?), |all| &all.$field, |all| &mut all.$field,
        )
    };
    (@define $name:ident $field:ident [table] $doc:ident) => {
        $crate::settings::Nested::<$name, _>::new(stringify!($field), $doc, |all| &all.$field, |all| &mut all.$field)
    };
    (@define $name:ident $field:ident [flat] $doc:ident) => {
        $crate::settings::Nested::<$name, _>::new("", $doc, |all| &all.$field, |all| &mut all.$field)
    };
    (@key $keys:ident $field:ident $type:ty [flat]) => {
        $keys.extend(<$type as $crate::settings::Table>::keys())
    };
    (@key $keys:ident $field:ident $type:ty [$($table:ident)?]) => { $keys.push(stringify!($field)) };
    (@take $self:ident $map:ident $key:ident $field:ident [flat]) => {
        if $crate::settings::Table::take(&mut $self.$field, $key, $map)? {
            return Ok(true);
        }
    };
    (@take $self:ident $map:ident $key:ident $field:ident [$($table:ident)?]) => {
        if $key == stringify!($field) {
            $self.$field = $map.next_value()?;
            return Ok(true);
        }
    };
    (@give $self:ident $to:ident $field:ident [flat]) => { $crate::settings::Table::give(&$self.$field, $to)? };
    (@give $self:ident $to:ident $field:ident [$($table:ident)?]) => {
        $to.serialize_field(stringify!($field), &$self.$field)?
    };
}
pub(crate) use settings;
