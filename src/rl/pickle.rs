//! Reads pickles of state dicts without executing anything.
//!
//! A pickle is a program for a stack machine. Only those opcodes of protocol 2 are known that a
//! dict of tensors needs, and only those functions may be called that build such a dict; everything
//! else is rejected. Values are kept in flat tables, so that deep nesting does not recurse.
//! Opcodes: CPython's `Lib/pickletools.py`; tensors: PyTorch's `torch/_utils.py`.

use std::collections::HashMap;
use std::rc::Rc;

use thiserror::Error;

/// More than any function here takes; a tuple of many could be handed over again and again.
const MAX_ARGUMENTS: usize = 16;
/// The limit of libtorch (`at::dim_bitset_size`).
const MAX_AXES: usize = 64;

#[derive(Debug, Error, PartialEq)]
pub(super) enum PickleError {
    #[error("the pickle ends early")]
    Truncated,
    #[error("pickle opcode {0:#04x} does not occur in state dicts of protocol 2")]
    Opcode(u8),
    #[error("{0} does not belong in a dict of float32 or float64 tensors")]
    Global(String),
    #[error("the pickle has something else where {0} is expected")]
    Expected(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementKind {
    Float32,
    Float64,
}

/// A record of the archive that holds elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage {
    pub(crate) kind: ElementKind,
    /// File name below `data/`.
    pub(crate) key: Rc<str>,
    pub(crate) elements: i64,
}

/// A view into a storage; offset and strides in elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredTensor {
    pub(crate) storage: Storage,
    pub(crate) offset: i64,
    pub(crate) shape: Vec<i64>,
    pub(crate) strides: Vec<i64>,
}

/// A tensor and its name.
type Entry = (Rc<str>, Rc<StoredTensor>);

/// The names and tensors of a pickled dict, in its order.
pub(super) fn read(pickle: &[u8]) -> Result<Vec<Entry>, PickleError> {
    let mut machine = Unpickler { rest: pickle, ..Unpickler::default() };
    while machine.step()? {}
    let Value::Dict(dict) = machine.pop()? else {
        return Err(PickleError::Expected("a dict"));
    };
    let entry = |(key, value): &(Value, Value)| match (key, value) {
        (Value::Text(name), Value::Tensor(tensor)) => Ok((name.clone(), tensor.clone())),
        (Value::Text(_), _) => Err(PickleError::Expected("a tensor")),
        _ => Err(PickleError::Expected("the name of a tensor")),
    };
    machine.dicts[dict].iter().map(entry).collect()
}

/// The globals that a pickle may name.
#[derive(Clone, Copy, Debug)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(ElementKind),
}

impl Global {
    fn named(module: &str, name: &str) -> Result<Global, PickleError> {
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Ok(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Ok(Global::RebuildParameter),
            ("torch", "FloatStorage") => Ok(Global::Storage(ElementKind::Float32)),
            ("torch", "DoubleStorage") => Ok(Global::Storage(ElementKind::Float64)),
            _ => Err(PickleError::Global(format!("{module}.{name}"))),
        }
    }
}

#[derive(Clone, Debug)]
enum Value {
    None,
    Bool,
    Int(i64),
    Text(Rc<str>),
    Global(Global),
    Storage(Storage),
    Tensor(Rc<StoredTensor>),
    /// Index in [`Unpickler::tuples`].
    Tuple(usize),
    /// Index in [`Unpickler::dicts`].
    Dict(usize),
}

#[derive(Default)]
struct Unpickler<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    /// Heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    tuples: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
}

impl<'a> Unpickler<'a> {
    /// Executes one opcode; false after the last.
    fn step(&mut self) -> Result<bool, PickleError> {
        match self.byte()? {
            b'.' => return Ok(false),
            // PROTO
            0x80 => match self.byte()? {
                2 => {}
                _ => return Err(PickleError::Expected("protocol 2")),
            },
            // GLOBAL
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Global(Global::named(&module, &name)?));
            }
            // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
            b'q' => self.memoize(|m| Ok(u32::from(m.byte()?)))?,
            b'r' => self.memoize(|m| Ok(u32::from_le_bytes(m.array()?)))?,
            b'h' => self.recall(|m| Ok(u32::from(m.byte()?)))?,
            b'j' => self.recall(|m| Ok(u32::from_le_bytes(m.array()?)))?,
            // MARK, EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push_tuple(Vec::new()),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_tuple(items);
            }
            op @ 0x85..=0x87 => {
                let from = self.floor_of(usize::from(op - 0x84))?;
                let items = self.stack.split_off(from);
                self.push_tuple(items);
            }
            // EMPTY_DICT, SETITEM, SETITEMS, BUILD
            b'}' => self.push_dict(),
            b's' => {
                let from = self.floor_of(2)?;
                let items = self.stack.split_off(from);
                self.set_items(items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(items)?;
            }
            // Attributes of a dict are ignored: `nn.Module.state_dict` sets `_metadata`.
            b'b' => {
                self.pop()?;
                self.top_dict()?;
            }
            // BINUNICODE
            b'X' => {
                let len = u32::from_le_bytes(self.array()?);
                let text = self.take(len as usize)?;
                let text = str::from_utf8(text).map_err(|_| PickleError::Expected("text"))?;
                self.stack.push(Value::Text(text.into()));
            }
            // BININT, BININT1, BININT2, LONG1
            b'J' => self.push_int(|m| Ok(i64::from(i32::from_le_bytes(m.array()?))))?,
            b'K' => self.push_int(|m| Ok(i64::from(m.byte()?)))?,
            b'M' => self.push_int(|m| Ok(i64::from(u16::from_le_bytes(m.array()?))))?,
            0x8a => self.push_int(Unpickler::long)?,
            // NEWTRUE, NEWFALSE, NONE
            0x88 | 0x89 => self.stack.push(Value::Bool),
            b'N' => self.stack.push(Value::None),
            // BINPERSID
            b'Q' => {
                let storage = self.storage()?;
                self.stack.push(Value::Storage(storage));
            }
            // REDUCE
            b'R' => self.call()?,
            other => return Err(PickleError::Opcode(other)),
        }
        Ok(true)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PickleError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(PickleError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(PickleError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.array::<1>()?[0])
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let len = self.rest.iter().position(|&b| b == b'\n').ok_or(PickleError::Truncated)?;
        let line = self.take(len + 1)?;
        let line = str::from_utf8(&line[..len]).map_err(|_| PickleError::Expected("a name"))?;
        Ok(line.to_string())
    }

    /// A signed little-endian number of up to eight bytes.
    fn long(&mut self) -> Result<i64, PickleError> {
        let len = usize::from(self.byte()?);
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut number = if negative { [0xff; 8] } else { [0; 8] };
        let low = number.get_mut(..len).ok_or(PickleError::Expected("a number of 64 bits"))?;
        low.copy_from_slice(bytes);
        Ok(i64::from_le_bytes(number))
    }

    fn push_int(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<i64, PickleError>,
    ) -> Result<(), PickleError> {
        let number = read(self)?;
        self.stack.push(Value::Int(number));
        Ok(())
    }

    fn push_tuple(&mut self, items: Vec<Value>) {
        self.stack.push(Value::Tuple(self.tuples.len()));
        self.tuples.push(items);
    }

    fn push_dict(&mut self) {
        self.stack.push(Value::Dict(self.dicts.len()));
        self.dicts.push(Vec::new());
    }

    fn memoize(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<u32, PickleError>,
    ) -> Result<(), PickleError> {
        let key = read(self)?;
        let top = self.stack[self.floor_of(1)?].clone();
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<u32, PickleError>,
    ) -> Result<(), PickleError> {
        let key = read(self)?;
        let value = self.memo.get(&key).ok_or(PickleError::Expected("a memoized value"))?;
        self.stack.push(value.clone());
        Ok(())
    }

    /// The height of the stack below its top `count` values, which must be above the last mark.
    fn floor_of(&self, count: usize) -> Result<usize, PickleError> {
        let mark = self.marks.last().copied().unwrap_or(0);
        let floor = self.stack.len().checked_sub(count).filter(|&floor| floor >= mark);
        floor.ok_or(PickleError::Expected("a value on the stack"))
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        self.floor_of(1)?;
        self.stack.pop().ok_or(PickleError::Expected("a value on the stack"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Expected("a mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_tuple(&mut self) -> Result<Vec<Value>, PickleError> {
        match self.pop()? {
            Value::Tuple(index) if self.tuples[index].len() <= MAX_ARGUMENTS => {
                Ok(self.tuples[index].clone())
            }
            _ => Err(PickleError::Expected("a tuple")),
        }
    }

    fn top_dict(&self) -> Result<usize, PickleError> {
        match self.stack[self.floor_of(1)?] {
            Value::Dict(index) => Ok(index),
            _ => Err(PickleError::Expected("a dict")),
        }
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<(), PickleError> {
        let dict = self.top_dict()?;
        if !items.len().is_multiple_of(2) {
            return Err(PickleError::Expected("as many values as keys"));
        }
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            self.dicts[dict].push((key, value));
        }
        Ok(())
    }

    /// `("storage", kind, key, device, elements)`; the device is that of the saved tensor and is
    /// ignored.
    fn storage(&mut self) -> Result<Storage, PickleError> {
        match self.pop_tuple()?.as_slice() {
            [
                Value::Text(tag),
                Value::Global(Global::Storage(kind)),
                Value::Text(key),
                Value::Text(_),
                Value::Int(elements),
            ] if &**tag == "storage" => {
                Ok(Storage { kind: *kind, key: key.clone(), elements: *elements })
            }
            _ => Err(PickleError::Expected("a storage")),
        }
    }

    /// A tuple of sizes.
    fn ints(&self, tuple: usize) -> Result<Vec<i64>, PickleError> {
        if self.tuples[tuple].len() > MAX_AXES {
            return Err(PickleError::Expected("a tensor of few axes"));
        }
        let int = |value: &Value| match value {
            Value::Int(number) => Ok(*number),
            _ => Err(PickleError::Expected("a number")),
        };
        self.tuples[tuple].iter().map(int).collect()
    }

    fn call(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop_tuple()?;
        let Value::Global(function) = self.pop()? else {
            return Err(PickleError::Expected("a function"));
        };
        match (function, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.push_dict(),
            // storage, offset, shape, strides, requires_grad, hooks and, since 2.0, optional
            // metadata
            (
                Global::RebuildTensor,
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    Value::Bool,
                    ..,
                ],
            ) => {
                let tensor = StoredTensor {
                    storage: storage.clone(),
                    offset: *offset,
                    shape: self.ints(*shape)?,
                    strides: self.ints(*strides)?,
                };
                self.stack.push(Value::Tensor(Rc::new(tensor)));
            }
            // data, requires_grad, hooks
            (Global::RebuildParameter, [tensor @ Value::Tensor(_), Value::Bool, _]) => {
                self.stack.push(tensor.clone());
            }
            _ => return Err(PickleError::Expected("a call that builds a dict of tensors")),
        }
        Ok(())
    }
}
