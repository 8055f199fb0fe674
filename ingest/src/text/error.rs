//! Why a text is not a value of its type, in PostgreSQL's words and with its SQLSTATE.
//!
//! Never: where the text stood; the reader of the file or message adds that.

use std::fmt;

/// The reason that a text was refused. Small, so that the loops over good values stay fast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError(Box<Cause>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cause {
    sqlstate: &'static str,
    message: String,
    detail: Option<String>,
    hint: Option<&'static str>,
}

impl ValueError {
    /// The SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        self.0.sqlstate
    }

    /// The message, which names the type and the text.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// A sentence that says more.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        self.0.hint
    }

    fn new(sqlstate: &'static str, message: String) -> Self {
        Self(Box::new(Cause { sqlstate, message, detail: None, hint: None }))
    }

    fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    fn with_hint(mut self, hint: &'static str) -> Self {
        self.0.hint = Some(hint);
        self
    }

    #[cold]
    pub(crate) fn syntax(type_name: &str, text: &str) -> Self {
        Self::new("22P02", format!("invalid input syntax for type {type_name}: \"{text}\""))
    }

    #[cold]
    pub(crate) fn out_of_range(type_name: &str, text: &str) -> Self {
        Self::new("22003", format!("value \"{text}\" is out of range for type {type_name}"))
    }

    #[cold]
    pub(crate) fn float_out_of_range(type_name: &str, text: &str) -> Self {
        Self::new("22003", format!("\"{text}\" is out of range for type {type_name}"))
    }

    #[cold]
    pub(crate) fn numeric_overflow(precision: u8, scale: i8) -> Self {
        let digits = i16::from(precision) - i16::from(scale);
        let bound = if digits == 0 { "1".to_owned() } else { format!("10^{digits}") };
        Self::new("22003", "numeric field overflow".to_owned()).with_detail(format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value \
             less than {bound}."
        ))
    }

    #[cold]
    pub(crate) fn numeric_special(text: &str) -> Self {
        Self::new("22003", format!("numeric value \"{text}\" cannot be stored"))
            .with_detail("Numeric columns hold finite numbers only.")
    }

    #[cold]
    pub(crate) fn datetime_syntax(type_name: &str, text: &str) -> Self {
        Self::new("22007", format!("invalid input syntax for type {type_name}: \"{text}\""))
    }

    #[cold]
    pub(crate) fn datetime_field(text: &str) -> Self {
        Self::new("22008", format!("date/time field value out of range: \"{text}\""))
    }

    #[cold]
    pub(crate) fn datetime_order(text: &str) -> Self {
        Self::datetime_field(text).with_hint("Perhaps you need a different \"datestyle\" setting.")
    }

    #[cold]
    pub(crate) fn datetime_range(type_name: &str, text: &str) -> Self {
        Self::new("22008", format!("{type_name} out of range: \"{text}\""))
    }

    #[cold]
    pub(crate) fn nanoseconds(text: &str) -> Self {
        Self::new("22008", format!("timestamp \"{text}\" has more than six decimal places"))
            .with_hint("Use the option TRUNCATE_NANOSECONDS to cut it.")
    }

    #[cold]
    pub(crate) fn datetime_special(type_name: &str, text: &str) -> Self {
        Self::new("0A000", format!("{type_name} value \"{text}\" is not supported"))
            .with_hint("Use a value with a fixed year, month and day, or NULL.")
    }

    #[cold]
    pub(crate) fn zone_offset(text: &str) -> Self {
        Self::new("22009", format!("time zone displacement out of range: \"{text}\""))
    }

    #[cold]
    pub(crate) fn zone_name(name: &str) -> Self {
        Self::new("22023", format!("time zone \"{name}\" not recognized"))
    }

    #[cold]
    pub(crate) fn interval_field(text: &str) -> Self {
        Self::new("22015", format!("interval field value out of range: \"{text}\""))
    }

    #[cold]
    pub(crate) fn interval_range() -> Self {
        Self::new("22008", "interval out of range".to_owned())
    }

    #[cold]
    pub(crate) fn too_long(type_name: &str, length: usize) -> Self {
        Self::new("22001", format!("value too long for type {type_name}({length})"))
    }

    #[cold]
    pub(crate) fn column_full() -> Self {
        Self::new("54000", "text of one batch is longer than 2 GiB".to_owned())
    }

    #[cold]
    pub(crate) fn hex_digit(digit: char) -> Self {
        Self::new("22023", format!("invalid hexadecimal digit: \"{digit}\""))
    }

    #[cold]
    pub(crate) fn hex_odd() -> Self {
        Self::new("22023", "invalid hexadecimal data: odd number of digits".to_owned())
    }

    #[cold]
    pub(crate) fn bytea_escape() -> Self {
        Self::new("22P02", "invalid input syntax for type bytea".to_owned())
    }

    #[cold]
    pub(crate) fn json(type_name: &str, detail: String) -> Self {
        Self::new("22P02", format!("invalid input syntax for type {type_name}")).with_detail(detail)
    }

    #[cold]
    pub(crate) fn json_depth(limit: usize) -> Self {
        Self::new("54001", format!("json value is nested deeper than {limit} levels"))
    }

    #[cold]
    pub(crate) fn json_nul() -> Self {
        Self::new("22P05", "unsupported Unicode escape sequence".to_owned())
            .with_detail("\\u0000 cannot be converted to text.")
    }

    #[cold]
    pub(crate) fn numeric_format() -> Self {
        Self::new("22003", "value overflows numeric format".to_owned())
    }

    #[cold]
    pub(crate) fn array(text: &str, detail: &'static str) -> Self {
        Self::new("22P02", format!("malformed array literal: \"{text}\"")).with_detail(detail)
    }

    #[cold]
    pub(crate) fn array_dimensions(text: &str) -> Self {
        Self::new("0A000", format!("array \"{text}\" is not supported"))
            .with_detail("Arrays have one dimension, with a lower bound of 1.")
    }

    #[cold]
    pub(crate) fn record(text: &str, detail: &'static str) -> Self {
        Self::new("22P02", format!("malformed record literal: \"{text}\"")).with_detail(detail)
    }

    /// The bytes start with one that is no text; the message lists as many as the first of them
    /// says that there should be, on its line.
    #[cold]
    pub(crate) fn invalid_utf8(bytes: &[u8]) -> Self {
        let length = match bytes.first() {
            Some(0xc0..0xe0) => 2,
            Some(0xe0..0xf0) => 3,
            Some(0xf0..0xf8) => 4,
            _ => 1,
        };
        let on_line = bytes.iter().take(length).take_while(|byte| !matches!(byte, b'\n' | b'\r'));
        let listed: Vec<String> = on_line.map(|byte| format!("0x{byte:02x}")).collect();
        let listed = listed.join(" ");
        Self::new("22021", format!("invalid byte sequence for encoding \"UTF8\": {listed}"))
    }

    #[cold]
    pub(crate) fn row_shape(message: String) -> Self {
        Self::new("22P04", message)
    }

    #[cold]
    pub(crate) fn row_shape_with_hint(message: String, hint: &'static str) -> Self {
        Self::new("22P04", message).with_hint(hint)
    }

    #[cold]
    pub(crate) fn row_length(limit: usize) -> Self {
        Self::new("54000", format!("row is longer than {limit} bytes"))
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ValueError {}
