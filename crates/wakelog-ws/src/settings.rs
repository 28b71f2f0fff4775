//! What all settings of a builder have in common, said once.

/// Makes a function for each: it takes the builder and a value, puts the value into its field, and
/// gives the builder back.
macro_rules! settings {
    ($(
        $(#[$about:meta])*
        $name:ident($value:ident: $kind:ty) => $($field:ident).+ = $put:expr;
    )+) => {
        $(
            $(#[$about])*
            pub fn $name(mut self, $value: $kind) -> Self {
                self.$($field).+ = $put;
                self
            }
        )+
    };
}

pub(crate) use settings;
