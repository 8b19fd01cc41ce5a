//! Reading a JSON body field by field and collecting everything that is wrong with it.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::error::{ApiError, FormErrors};
use crate::text::percent_decode;

/// A JSON object with the errors found in it so far.
#[derive(Debug)]
pub(crate) struct Form {
    fields: Map<String, Value>,
    errors: FormErrors,
}

/// A field that may be missing, null or set.
pub(crate) type Nullable<T> = Option<Option<T>>;

impl Form {
    /// Reads a request's body. An empty body is an object without fields.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Ok(Self::of(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self::of(fields)),
            Ok(_) => Err(FormErrors::one(&[], "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")),
            Err(_) => Err(ApiError::InvalidJson),
        }
    }

    /// Reads a query: every value is a text, as URLs have it. Of a name that comes twice the first counts.
    pub(crate) fn query(query: &str) -> Self {
        let mut fields = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let read = |text: &str| percent_decode(text.as_bytes(), true);
            fields.entry(read(name)).or_insert_with(|| Value::String(read(value)));
        }
        Self::of(fields)
    }

    fn of(fields: Map<String, Value>) -> Self {
        Self { fields, errors: FormErrors::default() }
    }

    /// Whether the field is there, null or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// The field as it stands, unless missing or null.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Notes an error.
    pub(crate) fn refuse(&mut self, path: &[&str], code: &str, message: &str) {
        self.errors.add(path, code, message);
    }

    /// A field that must be there.
    pub(crate) fn require(&mut self, name: &str) {
        if self.raw(name).is_none() {
            self.refuse(&[name], "BASE_TYPE_REQUIRED", "This field is required");
        }
    }

    /// A text whose length in characters lies in `length`.
    pub(crate) fn text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        self.nullable_text(name, length).flatten()
    }

    /// A text or null.
    pub(crate) fn nullable_text(&mut self, name: &str, length: RangeInclusive<usize>) -> Nullable<String> {
        let value = self.fields.get(name)?;
        if value.is_null() {
            return Some(None);
        }
        // Numbers are read as text, as Discord's form reader does it.
        let text = match value.as_str() {
            Some(text) => text.to_owned(),
            None if value.is_number() => value.to_string(),
            None => {
                self.refuse(&[name], "STRING_TYPE_CONVERT", "Could not interpret value as string.");
                return None;
            }
        };
        let (least, most) = (*length.start(), *length.end());
        if length.contains(&text.chars().count()) {
            return Some(Some(text));
        }
        if least == 0 {
            self.refuse(&[name], "BASE_TYPE_MAX_LENGTH", &format!("Must be {most} or fewer in length."));
        } else {
            let message = format!("Must be between {least} and {most} in length.");
            self.refuse(&[name], "BASE_TYPE_BAD_LENGTH", &message);
        }
        None
    }

    /// A whole number in `range`.
    pub(crate) fn number(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.raw(name)?;
        let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        let Some(number) = number else {
            let message = format!("Value \"{}\" is not int.", plain(value));
            self.refuse(&[name], "NUMBER_TYPE_COERCE", &message);
            return None;
        };
        let (least, most) = (*range.start(), *range.end());
        if number < least {
            let message = format!("int value should be greater than or equal to {least}.");
            self.refuse(&[name], "NUMBER_TYPE_MIN", &message);
            None
        } else if number > most {
            let message = format!("int value should be less than or equal to {most}.");
            self.refuse(&[name], "NUMBER_TYPE_MAX", &message);
            None
        } else {
            Some(number)
        }
    }

    /// One of a few whole numbers.
    pub(crate) fn choice(&mut self, name: &str, choices: &[i64]) -> Option<i64> {
        let number = self.number(name, i64::MIN..=i64::MAX)?;
        if choices.contains(&number) {
            return Some(number);
        }
        let listed: Vec<String> = choices.iter().map(ToString::to_string).collect();
        let message = format!("Value must be one of {{{}}}.", listed.join(", "));
        self.refuse(&[name], "BASE_TYPE_CHOICES", &message);
        None
    }

    /// True or false.
    pub(crate) fn switch(&mut self, name: &str) -> Option<bool> {
        let value = self.raw(name)?;
        // Texts are how queries say it (Discord docs, Reference § Boolean Query Strings).
        match (value, value.as_str()) {
            (Value::Bool(on), _) => return Some(*on),
            (_, Some("true" | "True" | "1")) => return Some(true),
            (_, Some("false" | "False" | "0")) => return Some(false),
            _ => {}
        }
        self.refuse(&[name], "BOOLEAN_TYPE_CONVERT", "Must be either true or false.");
        None
    }

    /// A snowflake or null.
    pub(crate) fn snowflake(&mut self, name: &str) -> Nullable<u64> {
        let value = self.fields.get(name)?;
        if value.is_null() {
            return Some(None);
        }
        match read_snowflake(value) {
            Some(id) => Some(Some(id)),
            None => {
                let message = format!("Value \"{}\" is not snowflake.", plain(value));
                self.refuse(&[name], "NUMBER_TYPE_COERCE", &message);
                None
            }
        }
    }

    /// A list of at most `most` objects, as they stand.
    pub(crate) fn objects(&mut self, name: &str, most: usize) -> Option<Vec<Value>> {
        let list = self.raw(name)?.clone();
        let Value::Array(list) = list else {
            self.refuse(&[name], "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
            return None;
        };
        if list.len() > most {
            self.refuse(&[name], "BASE_TYPE_MAX_LENGTH", &format!("Must be {most} or fewer in length."));
            return None;
        }
        for (index, _) in list.iter().enumerate().filter(|(_, each)| !each.is_object()) {
            let message = "Only dictionaries may be used in a ModelType";
            self.refuse(&[name, &index.to_string()], "MODEL_TYPE_CONVERT", message);
        }
        Some(list)
    }

    /// Nothing wrong, or all that is wrong at once.
    pub(crate) fn finish(&mut self) -> Result<(), ApiError> {
        std::mem::take(&mut self.errors).finish()
    }
}

/// A snowflake from a string or an integer.
pub(crate) fn read_snowflake(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).filter(|id| *id != 0)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_field_errors_come_at_once_and_nested() {
        let mut form = Form::parse(br#"{"name":"","bitrate":7999,"user_limit":"x","nsfw":1}"#).unwrap();
        form.text("name", 1..=100);
        form.number("bitrate", 8_000..=96_000);
        form.number("user_limit", 0..=99);
        form.switch("nsfw");
        form.require("type");
        let (status, body) = form.finish().unwrap_err().into_answer();
        assert_eq!((status, &body["code"]), (400, &json!(50_035)));
        let code = |field: &str| body["errors"][field]["_errors"][0]["code"].clone();
        assert_eq!(code("name"), "BASE_TYPE_BAD_LENGTH");
        assert_eq!(code("bitrate"), "NUMBER_TYPE_MIN");
        assert_eq!(code("user_limit"), "NUMBER_TYPE_COERCE");
        assert_eq!(code("nsfw"), "BOOLEAN_TYPE_CONVERT");
        assert_eq!(code("type"), "BASE_TYPE_REQUIRED");
    }

    #[test]
    fn bodies_that_are_no_objects_are_refused() {
        assert_eq!(Form::parse(b"{").unwrap_err(), ApiError::InvalidJson);
        assert_eq!(Form::parse(b"[]").unwrap_err().into_answer().0, 400);
        assert!(Form::parse(b"").is_ok());
    }
}
