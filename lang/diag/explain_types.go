package diag

// typeCodes explains what the checker says about types.
var typeCodes = []CodeInfo{
	{Code: NotCondition, Severity: Error, Title: `not a condition`,
		Explanation: `A condition is true or false: a comparison, a test of membership, a bool field or param, or several of them joined by and, or and not. Integers are not taken for conditions.`,
		Bad:         "policy p\ndeny exec when uid\n",
		Good:        "policy p\ndeny exec when uid != 0\n"},
	{Code: NotValue, Severity: Error, Title: `not a value`,
		Explanation: `Something stands where a value is needed that is none: a set, a range or a duration.`,
		Bad: `policy p
set admins = int { 0, 1000 }
deny exec unless uid == admins
`,
		Good: `policy p
set admins = int { 0, 1000 }
deny exec unless uid in admins
`},
	{Code: TypeMismatch, Severity: Error, Title: `types do not fit`,
		Explanation: `Both sides of a comparison have the same type, and each operator wants certain types: matches and under want paths or strings on the left, in wants members of the field's type. Addresses are written without quotes. Two ints that name different kinds of things cannot be compared.`,
		Bad: `policy p
deny exec when uid == "root"
`,
		Good: "policy p\ndeny exec when uid == 0\n"},
	{Code: NotComparable, Severity: Error, Title: `values that cannot be compared`,
		Explanation: `Less and greater are for ints. Equality of paths, strings and addresses is with a constant: two paths of one event cannot be compared. Conditions are joined by and, or and not, not compared.`,
		Bad:         "policy p\ndeny file.rename when path == to\n",
		Good: `policy p
deny file.rename when path == "/srv/key" or to == "/srv/key"
deny capability
`},
	{Code: HasWithoutFlags, Severity: Error, Title: "`has` without flags",
		Explanation: "`has` asks whether bits of a flags field are set: access, flags, caps, or mode of process.ptrace. For bits of an int write the arithmetic.",
		Bad:         "policy p\ndeny file.chmod when mode has 0o4000\n",
		Good:        "policy p\ndeny file.chmod when mode & 0o4000 != 0\n"},
	{Code: HasNoBits, Severity: Error, Title: "`has` of no bits",
		Explanation: "The right side of `has` has no bit, so the condition would always be true. O_RDONLY is 0; how a file is opened is told by the field access.",
		Bad:         "policy p\ndeny file.open when flags has O_RDONLY\n",
		Good:        "policy p\ndeny file.open when access has read and not access has write\n"},
	{Code: WrongSetKind, Severity: Error, Title: `set of another kind`,
		Explanation: `A field is looked for in sets of its kind: paths in path sets, strings in string sets, addresses in cidr sets, ports in port sets, capabilities in cap sets and signals in signal sets; sets of kind int serve every int. A set contains sets of its own kind only.`,
		Bad: `policy p
set web = port { 80 }
deny exec when uid in web
`,
		Good: `policy p
set web = int { 80 }
deny exec when uid in web
`},
	{Code: WrongMember, Severity: Error, Title: `member of another kind`,
		Explanation: `Each kind of set holds values of one type: strings in path and string sets, addresses and prefixes in cidr sets, ints, constants and ranges in all others.`,
		Bad: `policy p
set web = port { "http" }
deny net.bind when port in web
`,
		Good: `policy p
set web = port { 80 }
deny net.bind when port in web
`},
	{Code: NotInteger, Severity: Error, Title: `arithmetic without ints`,
		Explanation: `Arithmetic and ranges are for ints and flags.`,
		Bad:         "policy p\ndeny exec when setid + 1 == 2\n",
		Good:        "policy p\ndeny exec when setid\n"},
	{Code: NotConstant, Severity: Error, Title: `not a constant`,
		Explanation: "Members of sets, ends of ranges, defaults of params and the right side of `has` are constants: numbers, names of constants, params, and arithmetic on these.",
		Bad:         "policy p\ndeny exec when uid in 0..gid\n",
		Good:        "policy p\ndeny exec when uid <= gid\n"},
	{Code: ConstantOverflow, Severity: Error, Title: `constant too large`,
		Explanation: `Integers are signed and have 64 bits. A constant that is worked out at compile time must fit.`,
		Bad: `policy p
param big: int = 1 << 63
deny exec when uid == big
`,
		Good: `policy p
param big: int = 1 << 31
deny exec when uid == big
`},
	{Code: DivisionByZero, Severity: Error, Title: `division by zero`,
		Explanation: `The right side of / or % is zero.`,
		Bad:         "policy p\ndeny exec when uid % 0 == 1\n",
		Good:        "policy p\ndeny exec when uid % 2 == 1\n"},
	{Code: DivisorNotConstant, Severity: Error, Title: `divisor is not a constant`,
		Explanation: `The right side of / and % is a constant, so that it is known not to be zero.`,
		Bad:         "policy p\ndeny exec when uid / gid == 1\n",
		Good:        "policy p\ndeny exec when uid / 1000 == 1\n"},
	{Code: ShiftCount, Severity: Error, Title: `shift by too much`,
		Explanation: `Integers have 64 bits; a shift goes by 0 to 63.`,
		Bad:         "policy p\ndeny exec when uid >> 64 == 1\n",
		Good:        "policy p\ndeny exec when uid >> 16 == 1\n"},
	{Code: RangeReversed, Severity: Error, Title: `range with its ends reversed`,
		Explanation: `LO..HI holds LO, HI and what is between them. If LO is the greater one, it would hold nothing.`,
		Bad:         "policy p\ndeny net.bind when port in 8099..8000\n",
		Good:        "policy p\ndeny net.bind when port in 8000..8099\n"},
	{Code: PortRange, Severity: Error, Title: `not a port`,
		Explanation: `A port is 0 to 65535.`,
		Bad:         "policy p\ndeny net.bind when port == 80443\n",
		Good:        "policy p\ndeny net.bind when port in { 80, 443 }\n"},
	{Code: BadGlob, Severity: Error, Title: `malformed glob`,
		Explanation: `A bracket or brace is not closed or has no partner, a class is empty, reversed or names the slash, or a backslash ends the text. Characters that are special in globs are escaped by a backslash, which is written twice in a string: "\\[".

A class is negated with ^, as in [^a-z]. The ! of other tools is refused, for it would mean the character.`,
		Bad: `policy p
deny file.symlink when target matches "/srv/[a-"
`,
		Good: `policy p
deny file.symlink when target matches "/srv/[a-z]"
deny capability
`},
	{Code: RelativePath, Severity: Error, Title: `path that is not absolute`,
		Explanation: `Events have absolute paths, or "" for files without a name. A path that does not begin with a slash matches nothing. In a glob, * does not match the slash; ** does.`,
		Bad: `policy p
deny exec when path matches "*.sh"
deny capability
`,
		Good: `policy p
deny exec when path matches "**.sh"
deny capability
`},
	{Code: PatternOperand, Severity: Error, Title: `not a pattern`,
		Explanation: "After matches stands a glob in quotes; after under, a directory in quotes or a param of type path. Sets of globs stand after `in`.",
		Bad: `policy p
set shells = path { "/bin/*sh" }
deny exec when path matches shells
deny capability
`,
		Good: `policy p
set shells = path { "/bin/*sh" }
deny exec when path in shells
deny capability
`},
	{Code: PrefixCompared, Severity: Error, Title: `address compared with a prefix`,
		Explanation: "An address is equal to an address. Whether it lies in a prefix is asked by `in`.",
		Bad:         "policy p\ndeny net.connect when addr == 10.0.0.0/8\n",
		Good:        "policy p\ndeny net.connect when addr in 10.0.0.0/8\n"},
	{Code: NotSet, Severity: Error, Title: "`in` without a set",
		Explanation: "After `in` stands a set, a range LO..HI, an address prefix, or members in braces.",
		Bad:         "policy p\ndeny net.bind when port in 80\n",
		Good:        "policy p\ndeny net.bind when port == 80\n"},
	{Code: ParamDefault, Severity: Error, Title: `default of another type`,
		Explanation: `The default of a param has the param's type.`,
		Bad: `policy p
param most: int = "10"
deny exec when uid > most
`,
		Good: `policy p
param most: int = 10
deny exec when uid > most
`},
	{Code: TestArgument, Severity: Error, Title: `bad value in a test`,
		Explanation: `A test gives each field at most once, one value of the field's type that the kernel can deliver; only flags have several, joined by commas.`,
		Bad: `policy p
deny exec
test "t" {
    exec path=5 => deny
}
`,
		Good: `policy p
deny exec
test "t" {
    exec path="/bin/sh" => deny
}
`},
}
