//! `lectern.toml` as it is written: every key is optional, and unknown keys are errors.

use toml::de::DeValue;

/// A key that may be absent, with the byte of the file at which its value begins.
pub(super) type Key<T> = Option<Written<T>>;

/// A value as it was written.
#[derive(Debug, Clone)]
pub(super) struct Written<T> {
    pub(super) value: T,
    pub(super) byte: usize,
}

/// Why a key is not accepted.
pub(super) enum Refusal {
    /// There is no such section or key.
    Unknown,
    /// The value has another type than this one.
    WrongType(&'static str),
}

/// The type of a key's value.
trait Value: Sized {
    /// What is allowed, as it is printed. The value itself is not repeated: it may be a password at the wrong place.
    const ALLOWED: &'static str;

    /// The value, if it has this type.
    fn read(value: &DeValue<'_>) -> Option<Self>;
}

impl Value for String {
    const ALLOWED: &'static str = "must be text in quotation marks";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Value for bool {
    const ALLOWED: &'static str = "must be true or false";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
}

impl Value for u32 {
    const ALLOWED: &'static str = "must be a whole number from 0 to 4294967295";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        let number = value.as_integer()?;
        Self::from_str_radix(number.as_str(), number.radix()).ok()
    }
}

impl Value for f64 {
    const ALLOWED: &'static str = "must be a number";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        let integer =
            || value.as_integer().filter(|number| number.radix() == 10).map(|number| number.as_str());
        value.as_float().map(|number| number.as_str()).or_else(integer)?.parse().ok()
    }
}

impl Value for f32 {
    const ALLOWED: &'static str = f64::ALLOWED;

    #[expect(clippy::cast_possible_truncation, reason = "fractions and probabilities: rounded once, here")]
    fn read(value: &DeValue<'_>) -> Option<Self> {
        f64::read(value).map(|number| number as Self)
    }
}

impl Value for [f32; 4] {
    const ALLOWED: &'static str = "must be four numbers: [left, top, right, bottom]";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        let numbers: Option<Vec<_>> =
            value.as_array()?.iter().map(|number| f32::read(number.get_ref())).collect();
        numbers?.try_into().ok()
    }
}

fn written<T: Value>(value: &DeValue<'_>, byte: usize) -> Result<Key<T>, Refusal> {
    let value = T::read(value).ok_or(Refusal::WrongType(T::ALLOWED))?;
    Ok(Some(Written { value, byte }))
}

/// The sections with their keys, once as types and once as names, so that neither lacks a key of the other.
macro_rules! sections {
    ($($section:ident: $name:ident { $($key:ident: $type:ty,)+ })+) => {
        /// One file, or one environment variable.
        #[derive(Debug, Default)]
        pub(super) struct Fragment {
            $(pub(super) $section: $name,)+
        }

        $(
            #[derive(Debug, Default)]
            pub(super) struct $name {
                $(pub(super) $key: Key<$type>,)+
            }
        )+

        /// Every section with its keys.
        pub(super) const SECTIONS: &[(&str, &[&str])] =
            &[$((stringify!($section), &[$(stringify!($key)),+]),)+];

        impl Fragment {
            /// Sets a key to a value that begins at this byte.
            pub(super) fn set(
                &mut self,
                section: &str,
                key: &str,
                value: &DeValue<'_>,
                byte: usize,
            ) -> Result<(), Refusal> {
                $($(
                    if section == stringify!($section) && key == stringify!($key) {
                        self.$section.$key = written(value, byte)?;
                        return Ok(());
                    }
                )+)+
                Err(Refusal::Unknown)
            }
        }
    };
}

sections! {
    device: Device {
        id: String,
        site: String,
        building: String,
        room: String,
    }
    deployment: Deployment {
        basis: String,
    }
    camera: Camera {
        device: String,
        width: u32,
        height: u32,
        format: String,
        rotate: u32,
    }
    analysis: Analysis {
        rate_hz: f64,
        min_face_px: u32,
        region: [f32; 4],
        faces: String,
        min_confidence: f32,
        baseline: String,
    }
    window: Window {
        seconds: u32,
        allow_short: bool,
    }
    mqtt: Mqtt {
        url: String,
        root: String,
        username: String,
        password_file: String,
        ca: String,
        client_cert: String,
        client_key: String,
        discovery: bool,
        discovery_prefix: String,
        configuration_url: String,
    }
    spool: Spool {
        directory: String,
        keep_days: u32,
    }
}
