package diag

import (
	"fmt"
	"strings"
)

// Codes of the lexer (SNP00xx), the parser (SNP01xx) and the loading of imports (SNP02xx).
const (
	FileTooLarge       Code = "SNP0001"
	InvalidUTF8        Code = "SNP0002"
	ControlChar        Code = "SNP0003"
	ByteOrderMark      Code = "SNP0004"
	InvisibleChar      Code = "SNP0005"
	UnknownChar        Code = "SNP0006"
	NonASCIIName       Code = "SNP0007"
	MalformedName      Code = "SNP0008"
	UnterminatedString Code = "SNP0009"
	BadEscape          Code = "SNP0010"
	NULInString        Code = "SNP0011"
	OtherQuote         Code = "SNP0012"
	MalformedNumber    Code = "SNP0013"
	NumberTooLarge     Code = "SNP0014"
	LeadingZero        Code = "SNP0015"
	BadAddress         Code = "SNP0016"
	BadPrefix          Code = "SNP0017"
	HostBits           Code = "SNP0018"
	ForeignOperator    Code = "SNP0019"

	UnexpectedToken   Code = "SNP0101"
	NotStatement      Code = "SNP0102"
	UnclosedBracket   Code = "SNP0103"
	UnmatchedBracket  Code = "SNP0104"
	ExpectedValue     Code = "SNP0105"
	ChainedComparison Code = "SNP0106"
	TooDeep           Code = "SNP0107"
	ExpressionTooLong Code = "SNP0108"
	MisplacedNot      Code = "SNP0109"
	ReservedWord      Code = "SNP0110"
	DottedName        Code = "SNP0111"
	LineBegins        Code = "SNP0112"
	NotInBlock        Code = "SNP0113"
	PolicyNotFirst    Code = "SNP0114"
	SecondPolicy      Code = "SNP0115"
	ClauseOrder       Code = "SNP0116"
	StatementTooLong  Code = "SNP0117"
	MissingComma      Code = "SNP0118"
	UnquotedPath      Code = "SNP0119"
	BadVerdict        Code = "SNP0120"
	SetInSet          Code = "SNP0121"
	TooManyErrors     Code = "SNP0190"
)

const (
	ImportNotFound   Code = "SNP0201"
	BadImportPath    Code = "SNP0202"
	ImportCycle      Code = "SNP0203"
	DuplicateImport  Code = "SNP0204"
	ImportedPolicy   Code = "SNP0205"
	StdNotSupported  Code = "SNP0206"
	TooManyFiles     Code = "SNP0207"
	SourceTooLarge   Code = "SNP0208"
	ImportUnreadable Code = "SNP0209"
)

var syntaxCodes = []CodeInfo{
	{Code: FileTooLarge, Severity: Error, Title: "file too large",
		Explanation: `A source file is at most 1 MiB long. Larger files are not read at all.

Split the policy into several files and import them, or shorten long lists of paths with globs.`,
		Bad:      "policy p\n# … more than 1 MiB of text\n",
		Generate: func() string { return "policy p\n" + strings.Repeat("# text\n", 1<<20/7+1) },
		Good:     "policy p\n"},
	{Code: InvalidUTF8, Severity: Error, Title: "invalid UTF-8",
		Explanation: `Policies are UTF-8 text. A file name that is not UTF-8 can still be matched: write its bytes as escapes.`,
		Bad:         "policy p\nset names = path { \"/srv/caf\xe9\" }\n",
		Good: `policy p
set names = path { "/srv/caf\xe9" }
`},
	{Code: ControlChar, Severity: Error, Title: "control character",
		Explanation: `Control characters other than tab and newline may stand nowhere in a policy, not even in a comment: terminals and reviewers do not show them. A carriage return is accepted directly before a newline.

In a string, write an escape such as "\x1b".`,
		Bad:  "policy p\n# a bell: \a\n",
		Good: "policy p\n# a bell\n"},
	{Code: ByteOrderMark, Severity: Error, Title: "byte order mark",
		Explanation: `The file begins with the character U+FEFF, which some editors write. UTF-8 needs no byte order mark.`,
		Bad:         "\ufeffpolicy p\n",
		Good:        "policy p\n"},
	{Code: InvisibleChar, Severity: Error, Title: "invisible character",
		Explanation: `Characters that cannot be seen, or that change the direction of the text around them, can make a policy read differently from what it says. They are refused everywhere, comments and strings included.

Where a path really holds such a character, write it as an escape in a string.`,
		Bad: "policy p\nset d = path { \"/srv/\u202edata\" }\n",
		Good: `policy p
set d = path { "/srv/\u202edata" }
`},
	{Code: UnknownChar, Severity: Error, Title: "unexpected character",
		Explanation: `This character begins nothing in the policy language. Statements end with their line and need no semicolon.`,
		Bad:         "policy p\ndefault deny;\n",
		Good:        "policy p\ndefault deny\n"},
	{Code: NonASCIIName, Severity: Error, Title: "name is not ASCII",
		Explanation: `Names hold the letters a to z only. Letters of other scripts can look the same as these, so that two different names could not be told apart.

Strings and comments may hold any visible text.`,
		Bad:  "policy p\nset p\u0430ths = path { \"/srv\" }\n",
		Good: "policy p\nset paths = path { \"/srv\" }\n"},
	{Code: MalformedName, Severity: Error, Title: "malformed name",
		Explanation: `Names are lower case letters, digits, underscores and inner hyphens, and begin with a letter; operations and fields are such names joined by dots. Constants of the kernel, such as CAP_SYS_ADMIN, are all upper case.`,
		Bad:         "policy p\nset webPorts = port { 80 }\n",
		Good:        "policy p\nset web-ports = port { 80 }\n"},
	{Code: UnterminatedString, Severity: Error, Title: "string not closed",
		Explanation: `A string begins and ends with a double quote on the same line. A quote inside it is written \".`,
		Bad:         "policy p\ndeny exec when path == \"/bin/sh\n",
		Good:        "policy p\ndeny exec when path == \"/bin/sh\"\n"},
	{Code: BadEscape, Severity: Error, Title: "unknown escape in a string",
		Explanation: `Strings have the escapes of Go: \\ \" \a \b \f \n \r \t \v, \xhh and \ooo for a byte, \uhhhh and \Uhhhhhhhh for a character.

The backslash of a glob is itself written with two: "\\*" matches a star.`,
		Bad: `policy p
deny exec when path matches "/bin/\*"
`,
		Good: `policy p
deny exec when path matches "/bin/\\*"
`},
	{Code: NULInString, Severity: Error, Title: "NUL byte in a string",
		Explanation: `The kernel ends names at a NUL byte, so a string that holds one could never match.`,
		Bad: `policy p
deny exec when path == "/bin/sh\x00"
`,
		Good: `policy p
deny exec when path == "/bin/sh"
`},
	{Code: OtherQuote, Severity: Error, Title: "wrong quotes",
		Explanation: `Strings are written in double quotes. Single quotes and backquotes have no meaning.`,
		Bad:         "policy p\ndeny exec when path == '/bin/sh'\n",
		Good:        "policy p\ndeny exec when path == \"/bin/sh\"\n"},
	{Code: MalformedNumber, Severity: Error, Title: "malformed number",
		Explanation: `Integers are decimal (1_000), hexadecimal (0xff) or octal (0o644); underscores stand between digits. Decimal integers may end in K, M or G, which stand for 1,024 and its powers. Durations are decimal and end in s, m or h.`,
		Bad:         "policy p\ndeny file.write when uid == 1000u\n",
		Good:        "policy p\ndeny file.write when uid == 1000\n"},
	{Code: NumberTooLarge, Severity: Error, Title: "number too large",
		Explanation: `Integers have 64 bits. Durations are counted in nanoseconds and reach 292 years.`,
		Bad:         "policy p\ndeny exec when uid == 0x1_0000_0000_0000_0000\n",
		Good:        "policy p\ndeny exec when uid == 0xffff_ffff\n"},
	{Code: LeadingZero, Severity: Error, Title: "leading zero",
		Explanation: `In some languages a leading zero makes a number octal, in others not. Here octal numbers begin with 0o, and decimal numbers have no leading zero.`,
		Bad:         "policy p\ndeny exec when mode & 04000 != 0\n",
		Good:        "policy p\ndeny exec when mode & 0o4000 != 0\n"},
	{Code: BadAddress, Severity: Error, Title: "malformed address",
		Explanation: `IPv4 addresses are four decimal numbers without leading zeros, IPv6 addresses are written as in RFC 4291. Ports are compared on their own, and addresses have no zone.`,
		Bad:         "policy p\nallow net.connect when addr == 10.0.0.256\n",
		Good:        "policy p\nallow net.connect when addr == 10.0.0.255\n"},
	{Code: BadPrefix, Severity: Error, Title: "malformed CIDR prefix",
		Explanation: `A prefix is an address, a slash and a length: up to 32 for IPv4, up to 128 for IPv6.`,
		Bad:         "policy p\nset local = cidr { 10.0.0.0/33 }\n",
		Good:        "policy p\nset local = cidr { 10.0.0.0/8 }\n"},
	{Code: HostBits, Severity: Error, Title: "address bits beyond the prefix length",
		Explanation: `The address of a prefix has bits that the prefix length leaves out, so either the address or the length is not what was meant. Write the first address of the range, or the single address without a length.`,
		Bad:         "policy p\nset local = cidr { 10.1.2.3/8 }\n",
		Good:        "policy p\nset local = cidr { 10.0.0.0/8 }\n"},
	{Code: ForeignOperator, Severity: Error, Title: "operator of another language",
		Explanation: `Conditions are joined with the words and, or and not; equality is ==.`,
		Bad:         "policy p\ndeny exec when uid == 0 && gid == 0\n",
		Good:        "policy p\ndeny exec when uid == 0 and gid == 0\n"},

	{Code: UnexpectedToken, Severity: Error, Title: "unexpected word or sign",
		Explanation: `The statement goes on with something that its form does not have. The help line shows the form.

A statement ends with its line, unless the line ends in an operator, a comma or an opening bracket.`,
		Bad:  "policy p\ndefault deny exec\n",
		Good: "policy p\ndefault deny for exec\n"},
	{Code: NotStatement, Severity: Error, Title: "not a statement",
		Explanation: `Every statement begins with its keyword: policy, import, param, set, default, allow, deny, kill, audit, state, on, limit, when, helper or test.`,
		Bad:         "policy p\ndenny exec\n",
		Good:        "policy p\ndeny exec\n"},
	{Code: UnclosedBracket, Severity: Error, Title: "bracket not closed",
		Explanation: `The end of the file, or the beginning of the next statement, was reached while this bracket was open.`,
		Bad:         "policy p\nset web = port { 80, 443\nallow net.bind when port in web\n",
		Good:        "policy p\nset web = port { 80, 443 }\nallow net.bind when port in web\n"},
	{Code: UnmatchedBracket, Severity: Error, Title: "bracket closes nothing",
		Explanation: `No bracket is open here.`,
		Bad:         "policy p\ndeny exec\n}\n",
		Good:        "policy p\ndeny exec\n"},
	{Code: ExpectedValue, Severity: Error, Title: "condition or value missing",
		Explanation: `An operator or keyword needs a condition or a value here: a field, a constant, a literal, a set in braces behind in, or something in parentheses.`,
		Bad:         "policy p\ndeny exec when path ==\n",
		Good:        "policy p\ndeny exec when path == \"/bin/sh\"\n"},
	{Code: ChainedComparison, Severity: Error, Title: "chained comparison",
		Explanation: `A comparison has two sides. For a value between two bounds write a range.`,
		Bad:         "policy p\nallow net.bind when 1024 <= port < 2048\n",
		Good:        "policy p\nallow net.bind when port in 1024..2047\n"},
	{Code: TooDeep, Severity: Error, Title: "nested too deep",
		Explanation: `Parentheses, not, calls and when blocks nest at most 100 deep.`,
		Bad:         "policy p\ndeny exec when ((( … more than 100 … uid == 0 …)))\n",
		Generate: func() string {
			return "policy p\ndeny exec when " + strings.Repeat("(", 101) + "uid == 0" + strings.Repeat(")", 101) + "\n"
		},
		Good: "policy p\ndeny exec when (uid == 0)\n"},
	{Code: ExpressionTooLong, Severity: Error, Title: "condition too long",
		Explanation: `A condition has at most 1,000 operators in a chain. Put the values into a set, which holds up to 100,000 and is matched in one step.`,
		Bad:         "policy p\ndeny exec when uid == 0 or uid == 0 or … more than 1,000 …\n",
		Generate: func() string {
			return "policy p\ndeny exec when uid == 0" + strings.Repeat(" or uid == 0", 1001) + "\n"
		},
		Good: "policy p\nset users = int { 0, 1 }\ndeny exec when uid in users\n"},
	{Code: MisplacedNot, Severity: Error, Title: "misplaced not",
		Explanation: `not negates a whole comparison and stands before it.`,
		Bad:         "policy p\ndeny exec when uid not in 0..999\n",
		Good:        "policy p\ndeny exec when not uid in 0..999\n"},
	{Code: ReservedWord, Severity: Error, Title: "keyword used as a name",
		Explanation: `The words and, or, not, in, matches, under, has, true, false, when, unless, errno, because and as cannot be names, since they end conditions or join them.`,
		Bad:         "policy p\nset in = port { 80 }\n",
		Good:        "policy p\nset inbound = port { 80 }\n"},
	{Code: DottedName, Severity: Error, Title: "dots in a declared name",
		Explanation: `Policies, sets, rules, params, states and helpers have plain names. Dots belong to operations and fields.`,
		Bad:         "policy p\nset web.ports = port { 80 }\n",
		Good:        "policy p\nset web-ports = port { 80 }\n"},
	{Code: LineBegins, Severity: Error, Title: "line begins with an operator or clause",
		Explanation: `A statement ends with its line, unless the line ends in an operator, a comma or an opening bracket. To go on, move the word to the end of the line before it.`,
		Bad:         "policy p\ndeny exec when uid == 0\n    and gid == 0\n",
		Good:        "policy p\ndeny exec when uid == 0 and\n    gid == 0\n"},
	{Code: NotInBlock, Severity: Error, Title: "statement cannot stand in a when block",
		Explanation: `A when block adds its condition to each rule inside it. Declarations and defaults do not depend on a condition.`,
		Bad:         "policy p\nwhen uid != 0 {\n    default deny\n}\n",
		Good:        "policy p\ndefault deny\nwhen uid == 0 {\n    allow exec\n}\n"},
	{Code: PolicyNotFirst, Severity: Error, Title: "policy is not the first statement",
		Explanation: `The policy statement names the file and stands first, so that readers and tools see at once what it is. A file without it is a library.`,
		Bad:         "default deny\npolicy p\n",
		Good:        "policy p\ndefault deny\n"},
	{Code: SecondPolicy, Severity: Error, Title: "second policy statement",
		Explanation: `A file holds one policy. Policies are stacked by namespaces, not in one file.`,
		Bad:         "policy p\npolicy q\n",
		Good:        "policy p\n"},
	{Code: ClauseOrder, Severity: Error, Title: "clause twice or out of order",
		Explanation: `The clauses of a rule stand in one order, each at most once: as, when, unless, errno, because.`,
		Bad:         "policy p\ndeny exec errno ENOENT when uid != 0\n",
		Good:        "policy p\ndeny exec when uid != 0 errno ENOENT\n"},
	{Code: StatementTooLong, Severity: Error, Title: "statement too long",
		Explanation: `A statement has at most 4,096 words outside its conditions and sets.`,
		Bad:         "policy p\ndeny exec, exec, … more than 2,000 …\n",
		Generate:    func() string { return "policy p\ndeny exec" + strings.Repeat(", exec", 2100) + "\n" },
		Good:        "policy p\ndeny exec\n"},
	{Code: MissingComma, Severity: Error, Title: "comma missing in a set",
		Explanation: `The members of a set are separated by commas; one may follow the last member.`,
		Bad:         "policy p\nset web = port { 80 443 }\n",
		Good:        "policy p\nset web = port { 80, 443 }\n"},
	{Code: UnquotedPath, Severity: Error, Title: "path without quotes",
		Explanation: `Paths and globs are strings and stand in double quotes.`,
		Bad:         "policy p\ndeny exec when path == /bin/sh\n",
		Good:        "policy p\ndeny exec when path == \"/bin/sh\"\n"},
	{Code: BadVerdict, Severity: Error, Title: "not a verdict",
		Explanation: `A line of a test ends in => and a verdict: allow, deny or kill, perhaps with by NAME, errno E and audited by NAME.`,
		Bad:         "policy p\naudit exec as all\ntest \"exec\" {\n    exec => audit\n}\n",
		Good:        "policy p\naudit exec as all\ntest \"exec\" {\n    exec => allow audited by all\n}\n"},
	{Code: SetInSet, Severity: Error, Title: "set in braces inside a set",
		Explanation: `A set lists values and names of other sets. To nest one, give it a name.`,
		Bad:         "policy p\nset web = port { 80, { 8000, 8080 } }\n",
		Good:        "policy p\nset web = port { 80, 8000, 8080 }\n"},
	{Code: TooManyErrors, Severity: Note, Title: "too many errors",
		Explanation: `Of one file, 100 errors are reported. Mend these and run again.`,
		Bad:         "policy p\nx\nx\n# … more than 100 wrong lines\n",
		Generate:    func() string { return "policy p\n" + strings.Repeat("x\n", 101) },
		Good:        "policy p\n"},

	{Code: ImportNotFound, Severity: Error, Title: "imported file not found",
		Explanation: `The path of an import is relative to the file that imports it.`,
		Bad:         "-- main.snp --\npolicy p\nimport \"./missing.snp\"\n",
		Good:        "-- main.snp --\npolicy p\nimport \"./sets.snp\"\n-- sets.snp --\nset web = port { 80 }\n"},
	{Code: BadImportPath, Severity: Error, Title: "bad import path",
		Explanation: `An import names a file by a path that begins with ./ or ../, has forward slashes, ends in .snp and stays inside the folder that the policy was given with; or a library of the standard library by std/NAME.

Absolute paths would make a policy depend on the machine that compiles it.`,
		Bad:  "-- main.snp --\npolicy p\nimport \"/etc/snappy/sets.snp\"\n",
		Good: "-- main.snp --\npolicy p\nimport \"./sets.snp\"\n-- sets.snp --\nset web = port { 80 }\n"},
	{Code: ImportCycle, Severity: Error, Title: "import cycle",
		Explanation: `A file imports itself, directly or through others. Move what both need into a third file.`,
		Bad:         "-- main.snp --\npolicy p\nimport \"./a.snp\"\n-- a.snp --\nimport \"./b.snp\"\n-- b.snp --\nimport \"./a.snp\"\n",
		Good:        "-- main.snp --\npolicy p\nimport \"./a.snp\"\n-- a.snp --\nimport \"./b.snp\"\n-- b.snp --\nset web = port { 80 }\n"},
	{Code: DuplicateImport, Severity: Error, Title: "file imported twice",
		Explanation: `Everything of a file is imported by one import. Where several files of a policy need it, the first import counts for all of them.`,
		Bad:         "-- main.snp --\npolicy p\nimport \"./a.snp\"\nimport \"./a.snp\"\n-- a.snp --\nset web = port { 80 }\n",
		Good:        "-- main.snp --\npolicy p\nimport \"./a.snp\"\n-- a.snp --\nset web = port { 80 }\n"},
	{Code: ImportedPolicy, Severity: Error, Title: "a policy is imported",
		Explanation: `Only libraries can be imported: files without a policy statement. To have two policies in force at once, stack them; to share rules, move them into a library.`,
		Bad:         "-- main.snp --\npolicy p\nimport \"./q.snp\"\n-- q.snp --\npolicy q\ndeny exec\n",
		Good:        "-- main.snp --\npolicy p\nimport \"./q.snp\"\n-- q.snp --\ndeny exec\n"},
	{Code: StdNotSupported, Severity: Error, Title: "standard library not supported yet",
		Explanation: `This version has no standard library. Copy the rules into a file of your own and import that.`,
		Bad:         "-- main.snp --\npolicy p\nimport \"std/container\"\n",
		Good:        "-- main.snp --\npolicy p\nimport \"./container.snp\"\n-- container.snp --\ndeny process.ptrace\n"},
	{Code: TooManyFiles, Severity: Error, Title: "too many files",
		Explanation: `A policy and its imports are at most 64 files.`,
		Bad:         "-- main.snp --\npolicy p\nimport \"./f1.snp\"\n# … more than 63 imports\n",
		Generate:    manyFiles,
		Good:        "-- main.snp --\npolicy p\n"},
	{Code: SourceTooLarge, Severity: Error, Title: "too much source text",
		Explanation: `A policy and its imports are at most 4 MiB of text.`,
		Bad:         "-- main.snp --\npolicy p\nimport \"./f1.snp\"\n# … more than 4 MiB of imports\n",
		Generate:    largeFiles,
		Good:        "-- main.snp --\npolicy p\n"},
	{Code: ImportUnreadable, Severity: Error, Title: "imported file cannot be read",
		Explanation: `The file is there, but reading it failed; the message tells why. A folder cannot be imported.`,
		Bad:         "-- main.snp --\npolicy p\nimport \"./sets.snp\"\n-- sets.snp/web.snp --\nset web = port { 80 }\n",
		Good:        "-- main.snp --\npolicy p\nimport \"./sets.snp/web.snp\"\n-- sets.snp/web.snp --\nset web = port { 80 }\n"},
}

// manyFiles is a policy with 65 files.
func manyFiles() string {
	main, files := "-- main.snp --\npolicy p\n", ""
	for i := range 64 {
		main += fmt.Sprintf("import \"./f%d.snp\"\n", i)
		files += fmt.Sprintf("-- f%d.snp --\n", i)
	}
	return main + files
}

// largeFiles is a policy with five files of nearly 1 MiB.
func largeFiles() string {
	main, files := "-- main.snp --\npolicy p\n", ""
	for i := range 5 {
		main += fmt.Sprintf("import \"./f%d.snp\"\n", i)
		files += fmt.Sprintf("-- f%d.snp --\n%s", i, strings.Repeat("# text\n", 149_000))
	}
	return main + files
}
