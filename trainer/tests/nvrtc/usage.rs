//! What a kernel takes, as its PTX and the assembler's log say.

/// What a kernel takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Most threads of a block, which are all that it is launched with.
    pub threads: u32,
    /// Bytes of its argument.
    pub argument: u32,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of static shared memory of a block.
    pub shared: u32,
    /// Bytes of the stack of a thread.
    pub stack: u32,
    /// Bytes that are written and read because registers ran out.
    pub spilled: u32,
}

impl Usage {
    /// That of `kernel`, if it is there.
    pub fn read(kernel: &str, ptx: &str, log: &str) -> Option<Self> {
        let (_, entry) = ptx.split_once(&format!(".visible .entry {kernel}("))?;
        let (head, _) = entry.split_once('{')?;
        let argument = between(head, &format!("{kernel}_param_0["), "]")?;
        let threads = between(head, ".maxntid ", ",").or_else(|| between(head, ".maxntid ", "\n"))?;
        let (_, said) = log.split_once(&format!("Compiling entry function '{kernel}'"))?;
        let said = said.split("Compiling entry function").next()?;
        let before = |unit: &str| said.split_once(unit).and_then(|(before, _)| last_number(before));
        Some(Self {
            threads,
            argument,
            registers: before(" registers")?,
            // Left out where there is none.
            shared: before(" bytes smem").unwrap_or(0),
            stack: before(" bytes stack frame")?,
            spilled: before(" bytes spill stores")? + before(" bytes spill loads")?,
        })
    }
}

/// The number between two words.
fn between(text: &str, start: &str, end: &str) -> Option<u32> {
    text.split_once(start)?.1.split_once(end)?.0.trim().parse().ok()
}

fn last_number(text: &str) -> Option<u32> {
    text.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn what_ptxas_says_is_read() {
    let ptx = ".visible .entry other(\n)\n{ }\n.visible .entry foo(\n\t.param .align 8 .b8 foo_param_0[104]\n)\n.maxntid 256, 1, 1\n{\n\tret;\n}";
    let log = "ptxas info    : Compiling entry function 'foo' for 'sm_87'\nptxas info    : Function properties for foo\n\
        ptxas         .     176 bytes stack frame, 388 bytes spill stores, 424 bytes spill loads\n\
        ptxas info    : Used 64 registers, used 0 barriers, 128 bytes smem, 368 bytes cmem[0]\n\
        ptxas info    : Compiling entry function 'other' for 'sm_87'\nptxas info    : Used 9 registers, 7 bytes smem\n";
    let usage = Usage { threads: 256, argument: 104, registers: 64, shared: 128, stack: 176, spilled: 812 };
    assert_eq!(Usage::read("foo", ptx, log), Some(usage));
    assert_eq!(Usage::read("bar", ptx, log), None);
    let log = log.replace(" 128 bytes smem,", "");
    assert_eq!(Usage::read("foo", ptx, &log), Some(Usage { shared: 0, ..usage }));
}
