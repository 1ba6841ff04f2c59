package diag

// nameCodes explains what the checker says about names.
var nameCodes = []CodeInfo{
	{Code: MissingPolicy, Severity: Error, Title: `no policy statement`,
		Explanation: "A policy begins with `policy NAME`. A file without it is a library: it holds sets, params and rules for policies to import, and says nothing by itself.",
		Bad:         "deny exec when uid == 0\n",
		Good:        "policy p\ndeny exec when uid == 0\n"},
	{Code: LibraryStatement, Severity: Error, Title: `statement that a library cannot have`,
		Explanation: `Defaults and tests belong to a policy. A library that brought a default would change what all other rules of the policy mean.`,
		Bad: `-- main.snp --
policy p
import "./lib.snp"
-- lib.snp --
default deny for exec
`,
		Good: `-- main.snp --
policy p
import "./lib.snp"
default deny for exec
-- lib.snp --
allow exec when uid == 0
`},
	{Code: DuplicateName, Severity: Error, Title: `name declared twice`,
		Explanation: `Sets and params share one namespace, which all files of a policy see. Each name is declared once.`,
		Bad: `policy p
set web = port { 80 }
set web = port { 443 }
deny net.bind when port in web
`,
		Good: `policy p
set web = port { 80, 443 }
deny net.bind when port in web
`},
	{Code: DuplicateRule, Severity: Error, Title: `two rules of one name`,
		Explanation: `A rule's name stands in events and in tests, so it must be unique within the policy and its imports. Most rules need none: events give file and line.`,
		Bad: `policy p
deny exec as no-root when uid == 0
deny exec as no-root when euid == 0
`,
		Good: `policy p
deny exec as no-root when uid == 0
deny exec as no-setuid when euid == 0
`},
	{Code: DuplicateTest, Severity: Error, Title: `two tests of one name`,
		Explanation: `Tests are reported by name, so each has its own.`,
		Bad: `policy p
deny exec
test "sh" {
    exec path="/bin/sh" => deny
}
test "sh" {
    exec path="/bin/sh" => deny
}
`,
		Good: `policy p
deny exec
test "sh" {
    exec path="/bin/sh" => deny
}
`},
	{Code: NameTaken, Severity: Error, Title: `name of a field`,
		Explanation: `A set or param cannot have the name of a field or of a constant such as read: in a condition it could not be told from it. Fields that later versions support count too, so that a policy keeps its meaning.`,
		Bad: `policy p
set port = port { 80 }
deny net.bind when port != 80
`,
		Good: `policy p
set web = port { 80 }
deny net.bind when port in web
`},
	{Code: UnknownOperation, Severity: Error, Title: `unknown operation`,
		Explanation: `Rules and defaults name operations such as exec or file.open, or groups such as file.change. docs/language.md lists them.

In a test, a line names one operation, not a group.`,
		Bad:  "policy p\ndeny file.opn\n",
		Good: "policy p\ndeny file.open\n"},
	{Code: UnknownName, Severity: Error, Title: `unknown name`,
		Explanation: "A name in a condition is a field of the rule's operations, a field of the subject, a param, or a constant of the field that it is compared with. Sets stand only after `in`.\n\nNames may hold hyphens: uid-1 is one name; to subtract, put spaces around the minus.",
		Bad:         "policy p\ndeny exec when uidd == 0\n",
		Good:        "policy p\ndeny exec when uid == 0\n"},
	{Code: FieldNotThere, Severity: Error, Title: `field of other operations`,
		Explanation: `Each operation has its own fields, besides those of the subject that all have. A rule over several operations can use only what all of them have.`,
		Bad:         "policy p\ndeny exec, net.bind when port == 80\n",
		Good:        "policy p\ndeny net.bind when port == 80\n"},
	{Code: FieldDiffers, Severity: Error, Title: `field of different types`,
		Explanation: `The operations of the rule all have a field of this name, but not of the same type: mode is the permission bits of a file and the access that ptrace(2) asks for. Write a rule for each.`,
		Bad:         "policy p\ndeny file.open, process.ptrace when mode == 1\n",
		Good: `policy p
deny file.open when mode == 1
deny process.ptrace when mode has attach
`},
	{Code: UnknownSet, Severity: Error, Title: `unknown set`,
		Explanation: "After `in` stands the name of a set that the policy or one of its imports declares, a range, or members in braces.",
		Bad: `policy p
set web = port { 80 }
deny net.bind when port in wbe or port in web
`,
		Good: `policy p
set web = port { 80 }
deny net.bind when port in web
`},
	{Code: UnknownSetKind, Severity: Error, Title: `unknown kind of set`,
		Explanation: `Sets are of kind path (globs), cidr (addresses and prefixes), port, int, string, cap or signal.`,
		Bad: `policy p
set lan = addr { 10.0.0.0/8 }
deny net.connect unless addr in lan
`,
		Good: `policy p
set lan = cidr { 10.0.0.0/8 }
deny net.connect unless addr in lan
`},
	{Code: UnknownType, Severity: Error, Title: `unknown type of param`,
		Explanation: `Params are of type int, bool, string, path or addr. A port is an int.`,
		Bad: `policy p
param gate: port = 8080
deny net.bind when port != gate
`,
		Good: `policy p
param gate: int = 8080
deny net.bind when port != gate
`},
	{Code: UnknownConstant, Severity: Error, Title: `unknown constant`,
		Explanation: `Names in upper case are constants of the kernel: capabilities (CAP_KILL), signals (SIGTERM), address families (AF_INET), socket types (SOCK_RAW), protocols (IPPROTO_TCP) and open flags (O_CREAT). Real-time signals have no names; they are the numbers 32 to 64.`,
		Bad:         "policy p\ndeny capability when cap == CAP_SYSADMIN\n",
		Good:        "policy p\ndeny capability when cap == CAP_SYS_ADMIN\n"},
	{Code: ForeignConstant, Severity: Error, Title: `constant of another kind`,
		Explanation: `The constant exists, but names values of something else than what it is compared with. As a number the comparison would have a meaning, and a surprising one.`,
		Bad:         "policy p\ndeny net.socket when family == SOCK_RAW\n",
		Good:        "policy p\ndeny net.socket when type == SOCK_RAW\n"},
	{Code: UnknownErrno, Severity: Error, Title: `unknown errno`,
		Explanation: `The errno of a denial is one of the kernel's names, such as EACCES, EPERM or ENOENT.`,
		Bad:         "policy p\ndeny exec errno EACESS\n",
		Good:        "policy p\ndeny exec errno EACCES\n"},
	{Code: ErrnoWithoutDenial, Severity: Error, Title: `errno without a denial`,
		Explanation: `Only deny and kill make a system call fail; allow and audit rules have no errno.`,
		Bad:         "policy p\naudit exec errno EPERM\n",
		Good:        "policy p\ndeny exec errno EPERM\n"},
	{Code: DuplicateDefault, Severity: Error, Title: `default given twice`,
		Explanation: `There is one default for everything, one for each operation, and groups given in defaults must not overlap.`,
		Bad: `policy p
default deny for exec
default deny for exec, net.bind
`,
		Good: `policy p
default deny for exec
default deny for net.bind
`},
	{Code: DefaultConflict, Severity: Error, Title: `contradicting defaults`,
		Explanation: `Two defaults that are equally specific say different things. Order has no meaning in a policy, so neither is the later one. A default that names an operation wins over one for a group, and this over the one for everything.`,
		Bad: `policy p
default deny
default allow
`,
		Good: `policy p
default deny for exec
default allow
`},
	{Code: SetCycle, Severity: Error, Title: `set that contains itself`,
		Explanation: `Sets may name other sets of the same kind, but not in a circle.`,
		Bad: `policy p
set a = port { 80, b }
set b = port { 443, a }
deny net.bind when port in a
`,
		Good: `policy p
set a = port { 80, b }
set b = port { 443 }
deny net.bind when port in a
`},
	{Code: UnknownRule, Severity: Error, Title: `unknown rule in a test`,
		Explanation: "A test names rules of the policy or its imports by the name that they have after `as`.",
		Bad: `policy p
deny exec as no-shell
test "t" {
    exec path="/bin/sh" => deny by no-shel
}
`,
		Good: `policy p
deny exec as no-shell
test "t" {
    exec path="/bin/sh" => deny by no-shell
}
`},
	{Code: RuleCannotDecide, Severity: Error, Title: `rule that cannot give the verdict`,
		Explanation: `The rule exists, but it is about other operations than the line, or says something else: a deny rule never kills.`,
		Bad: `policy p
deny exec as no-shell
test "t" {
    exec path="/bin/sh" => kill by no-shell
}
`,
		Good: `policy p
kill exec as no-shell
test "t" {
    exec path="/bin/sh" => kill by no-shell
}
`},
	{Code: ErrnoRetried, Severity: Error, Title: `errno that the kernel does not return`,
		Explanation: `The kernel takes ESRCH from a security module for a process that is just ending and tries again, for ever
(kill_pid_info of kernel/signal.c): the caller could not even be killed.`,
		Bad:  "policy p\ndeny process.signal errno ESRCH\n",
		Good: "policy p\ndeny process.signal errno EPERM\n"},
}
