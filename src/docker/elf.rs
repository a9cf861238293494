//! The two things that must be known of an ELF file to run it elsewhere: its interpreter and its own library
//! name. Everything else the loader finds out.

/// Reads from the bytes of a 64-bit little-endian ELF file. `None` wherever the file does not say.
pub(super) struct Elf<'a>(&'a [u8]);

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

impl<'a> Elf<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.starts_with(b"\x7fELF\x02\x01").then_some(Self(bytes))
    }

    /// The loader a dynamically linked program asks for; a static one has none.
    pub(super) fn interpreter(&self) -> Option<&'a str> {
        let segment = self.segments().find(|segment| segment.kind == PT_INTERP)?;
        self.text(segment.offset)
    }

    /// The name other files ask for a library by, which need not be the name of its file.
    pub(super) fn soname(&self) -> Option<&'a str> {
        let dynamic = self.segments().find(|segment| segment.kind == PT_DYNAMIC)?;
        let entries = (0..dynamic.size / 16).map_while(|index| {
            let at = dynamic.offset.checked_add(index * 16)?;
            Some((self.number(at, 8)?, self.number(at + 8, 8)?))
        });
        let entries: Vec<(u64, u64)> = entries.collect();
        let value = |tag| entries.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value);
        let strings = self.offset_of(value(DT_STRTAB)?)?;
        self.text(strings.checked_add(value(DT_SONAME)?)?)
    }

    fn segments(&self) -> impl Iterator<Item = Segment> {
        let table = self.number(32, 8).unwrap_or(0);
        let (entry, count) = (self.number(54, 2).unwrap_or(0), self.number(56, 2).unwrap_or(0));
        (0..count).map_while(move |index| {
            let at = table.checked_add(index * entry)?;
            Some(Segment {
                kind: self.number(at, 4)?,
                offset: self.number(at.checked_add(8)?, 8)?,
                address: self.number(at.checked_add(16)?, 8)?,
                size: self.number(at.checked_add(32)?, 8)?,
            })
        })
    }

    fn offset_of(&self, address: u64) -> Option<u64> {
        let holds = |s: &Segment| s.kind == PT_LOAD && address >= s.address && address - s.address < s.size;
        let segment = self.segments().find(holds)?;
        (address - segment.address).checked_add(segment.offset)
    }

    fn number(&self, at: u64, length: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.0.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&self, at: u64) -> Option<&'a str> {
        let rest = self.0.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubbish_has_neither_name_nor_loader_and_does_not_panic() {
        assert!(Elf::new(b"#!/bin/sh").is_none());
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.extend([0xff; 300]);
        let elf = Elf::new(&bytes).unwrap();
        assert_eq!((elf.interpreter(), elf.soname()), (None, None));
    }

    #[test]
    fn this_very_program_names_its_loader() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let loader = Elf::new(&bytes).unwrap().interpreter();
        assert!(loader.is_none_or(|loader| loader.starts_with('/')));
    }
}
