//! A walk over an encoded message that proves every count and length in it, and allocates nothing.

use super::schemas::{Field, Kind, Schema};

/// Walks one message of `version` at the start of `bytes` and returns how many bytes it takes.
pub(super) fn walk(schema: &Schema, version: i16, bytes: &[u8]) -> Result<usize, String> {
    let mut walker = Walker { rest: bytes, version, flexible: version >= schema.flexible_since };
    walker.fields(schema.fields)?;
    Ok(bytes.len() - walker.rest.len())
}

/// Walks the tagged fields of a header, none of which this crate knows, and returns how many bytes they take.
pub(super) fn walk_tagged_fields(bytes: &[u8]) -> Result<usize, String> {
    let mut walker = Walker { rest: bytes, version: 0, flexible: true };
    walker.fields(&[])?;
    Ok(bytes.len() - walker.rest.len())
}

/// More tagged fields than any release has in one struct. The decoder keeps unknown ones in a map, whose entries take far
/// more memory than the two bytes of an empty field.
const TAGGED_FIELDS_MAX: u32 = 64;

struct Walker<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
}

impl<'a> Walker<'a> {
    fn fields(&mut self, fields: &'static [Field]) -> Result<(), String> {
        for field in fields {
            if field.tag.is_none() && field.exists_in(self.version) {
                self.value(&field.kind).map_err(|problem| within(field.name, problem))?;
            }
        }
        if self.flexible { self.tagged_fields(fields) } else { Ok(()) }
    }

    fn value(&mut self, kind: &'static Kind) -> Result<(), String> {
        match kind {
            Kind::Fixed(bytes) => self.take(*bytes).map(drop),
            Kind::String => {
                let length = if self.flexible { self.compact_length()? } else { self.length_i16()? };
                self.take(length.unwrap_or(0)).map(drop)
            }
            Kind::Bytes => {
                let length = if self.flexible { self.compact_length()? } else { self.length_i32()? };
                self.take(length.unwrap_or(0)).map(drop)
            }
            Kind::Array(element) => self.array(element),
            Kind::Struct(fields) => self.fields(fields),
        }
    }

    fn array(&mut self, element: &'static Kind) -> Result<(), String> {
        let count = if self.flexible { self.compact_length()? } else { self.length_i32()? }.unwrap_or(0);
        // No element is empty, so the walk below would find out as well; this says it in better words.
        if count > self.rest.len() {
            return Err(format!("{count} elements claimed, {} bytes left", self.rest.len()));
        }
        (0..count).try_for_each(|_| self.value(element))
    }

    fn tagged_fields(&mut self, fields: &'static [Field]) -> Result<(), String> {
        let count = self.unsigned_varint()?;
        if count > TAGGED_FIELDS_MAX {
            return Err(format!("{count} tagged fields claimed"));
        }
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let length = self.unsigned_varint()?;
            let content = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
            let known = fields.iter().find(|field| field.tag == Some(tag) && field.exists_in(self.version));
            if let Some(field) = known {
                self.tagged_field(field, content).map_err(|problem| within(field.name, problem))?;
            }
        }
        Ok(())
    }

    /// The decoder reads a tagged field that it knows without looking at the field's length, so the two must agree.
    fn tagged_field(&self, field: &'static Field, content: &'a [u8]) -> Result<(), String> {
        let mut walker = Walker { rest: content, version: self.version, flexible: self.flexible };
        walker.value(&field.kind)?;
        match walker.rest.len() {
            0 => Ok(()),
            rest => Err(format!("{rest} bytes after the end of the tagged field")),
        }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, String> {
        let length_plus_one = self.unsigned_varint()?;
        Ok(length_plus_one.checked_sub(1).map(|length| usize::try_from(length).unwrap_or(usize::MAX)))
    }

    fn length_i16(&mut self) -> Result<Option<usize>, String> {
        let length = i16::from_be_bytes(self.take_array()?);
        length_or_null(i32::from(length))
    }

    fn length_i32(&mut self) -> Result<Option<usize>, String> {
        let length = i32::from_be_bytes(self.take_array()?);
        length_or_null(length)
    }

    fn unsigned_varint(&mut self) -> Result<u32, String> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take_array()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0xf {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a varint of more than 32 bits".to_owned())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(format!("{count} bytes claimed, {} left", self.rest.len()));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(format!("{N} bytes expected, {} left", self.rest.len()));
        };
        self.rest = rest;
        Ok(*taken)
    }
}

fn length_or_null(length: i32) -> Result<Option<usize>, String> {
    match length {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) => Err(format!("a length of {length}")),
        },
    }
}

fn within(field: &str, problem: String) -> String {
    // `topics.partitions: 5 bytes claimed, 3 left`
    match problem.split_once(": ") {
        Some((path, rest)) if !path.contains(' ') => format!("{field}.{path}: {rest}"),
        _ => format!("{field}: {problem}"),
    }
}
