package diag

import (
	"fmt"
	"strings"
)

// meaningCodes explains limits, what this version refuses, warnings and notes.
var meaningCodes = []CodeInfo{
	{Code: TooManyRules, Severity: Error, Title: `too many rules`,
		Explanation: `A policy has at most 10,000 rules and defaults, those of its imports included. Rules that differ in a path, port or the like become one rule and a set.`,
		Bad: `policy p
deny exec when uid == 0
# … more than 10,000 rules
`,
		Generate: manyRules,
		Good:     "policy p\ndeny exec when uid in 0..10000\n"},
	{Code: TooManyMembers, Severity: Error, Title: `too many members in sets`,
		Explanation: `The sets of a policy have at most 100,000 members together. A set that names another counts its members too.`,
		Bad: `policy p
set ids = int { 0, 2, 4 }
# … more than 100,000 members
deny exec when uid in ids
`,
		Generate: manyMembers,
		Good: `policy p
set ids = int { 0..4 }
deny exec when uid in ids
`},
	{Code: ConditionsTooLarge, Severity: Error, Title: `conditions too large`,
		Explanation: `The conditions of a policy have at most 1,000,000 parts; the condition of a when block counts for each rule inside. This bounds the work of compiling.`,
		Bad: `policy p
# … a block with a long condition and many rules
when uid == 0 or uid == 2 {
    deny exec
}
`,
		Generate: largeConditions,
		Good: `policy p
set ids = int { 0, 2 }
when uid in ids {
    deny exec
}
`},
	{Code: OperationLater, Severity: Error, Title: `operation not supported yet`,
		Explanation: `The language has this operation, but this version does not mediate it. A rule about it is refused, because it would not be enforced.`,
		Bad:         "policy p\ndeny fs.mount\n",
		Good:        "policy p\ndeny capability when cap == CAP_SYS_ADMIN\n"},
	{Code: GroupLater, Severity: Error, Title: `group with operations that are not supported yet`,
		Explanation: `Some operations of the group are not mediated by this version. A rule over the group would be weaker than it reads, so the operations that are meant must be named. file.change and file.see are complete.`,
		Bad:         "policy p\ndeny net.*\n",
		Good:        "policy p\ndeny net.socket, net.bind, net.connect, net.listen\n"},
	{Code: FieldLater, Severity: Error, Title: `field not supported yet`,
		Explanation: `The language has this field, but this version does not read it.`,
		Bad: `policy p
deny net.connect when exe == "/usr/bin/curl"
`,
		Good: `policy p
deny net.connect when comm == "curl"
`},
	{Code: StateLater, Severity: Error, Title: `state not supported yet`,
		Explanation: `State that a policy remembers between events is part of the language, but not of this version.`,
		Bad:         "policy p\nstate serving: bool per process\n",
		Good:        "policy p\n"},
	{Code: OnLater, Severity: Error, Title: "`on` not supported yet",
		Explanation: `Changing state on an event is part of the language, but not of this version.`,
		Bad:         "policy p\non net.listen set serving = true\n",
		Good:        "policy p\n"},
	{Code: LimitLater, Severity: Error, Title: `limit not supported yet`,
		Explanation: `Limits on how often something happens are part of the language, but not of this version.`,
		Bad:         "policy p\nlimit exec to 20 per 10s\n",
		Good:        "policy p\ndeny exec\n"},
	{Code: UnresolvedLater, Severity: Error, Title: "`on unresolved` not supported yet",
		Explanation: `A rule that depends on a value which the kernel cannot give, such as a path longer than 4,095 bytes, denies the event. Opting out of that is part of the language, but not of this version.`,
		Bad:         "policy p\non unresolved allow\n",
		Good:        "policy p\n"},
	{Code: HelperLater, Severity: Error, Title: `helpers not supported yet`,
		Explanation: `Dynamic helpers are part of the language, but not of this version.`,
		Bad:         "policy p\nhelper owner-of(path) -> int\n",
		Good:        "policy p\n"},
	{Code: CallLater, Severity: Error, Title: `call of a helper`,
		Explanation: "Calls of helpers, and has(HELPER), are part of the language, but not of this version. Flags are tested by `flags has O_CREAT`, without parentheses; names of files by globs.",
		Bad: `policy p
deny exec when basename(path) == "sh"
deny capability
`,
		Good: `policy p
deny exec when path matches "**/sh"
deny capability
`},
	{Code: SetKindLater, Severity: Error, Title: `sets of operations not supported yet`,
		Explanation: `Sets of operations are part of the language, but not of this version.`,
		Bad:         "policy p\nset network = op { net.bind, net.connect }\n",
		Good:        "policy p\ndeny net.bind, net.connect\n"},
	{Code: ParamLater, Severity: Error, Title: `param without default`,
		Explanation: `Values of params cannot be given when a policy is loaded in this version, so each has a default.`,
		Bad: `policy p
param most: int
deny exec when uid > most
`,
		Good: `policy p
param most: int = 10
deny exec when uid > most
`},
	{Code: RuleNeverMatches, Severity: Warning, Title: `rule never matches`,
		Explanation: `The condition of the rule is false whatever the event, often because a set is empty or two constants are compared.`,
		Bad:         "policy p\ndeny exec when uid == 0 and false\n",
		Good:        "policy p\ndeny exec when uid == 0\n"},
	{Code: ConstantCondition, Severity: Warning, Title: `condition that is always true or always false`,
		Explanation: `Constants alone, or the bounds of a field, decide the comparison: ids and ports are never negative, a port is at most 65535.`,
		Bad:         "policy p\ndeny exec when uid < 0\n",
		Good:        "policy p\ndeny exec when uid > 0\n"},
	{Code: RuleShadowed, Severity: Warning, Title: `rule without effect`,
		Explanation: `Whatever this rule allows is denied by a rule without condition: deny wins over allow, in any order.`,
		Bad: `policy p
default deny for exec
deny exec
allow exec when uid == 0
`,
		Good: `policy p
default deny for exec
allow exec when uid == 0
`},
	{Code: RepeatsDefault, Severity: Warning, Title: `allow rule that repeats the default`,
		Explanation: "The default allows all operations of the rule, and deny rules win over it, so the rule changes nothing. Usually a `default deny for` the operation is missing.",
		Bad:         "policy p\nallow exec when uid == 0\n",
		Good: `policy p
default deny for exec
allow exec when uid == 0
`},
	{Code: SetUnused, Severity: Warning, Title: `set is not used`,
		Explanation: `The policy declares a set that no rule and no other set names. Sets of imports may go unused.`,
		Bad:         "policy p\nset web = port { 80 }\n",
		Good: `policy p
set web = port { 80 }
deny net.bind when port in web
`},
	{Code: ParamUnused, Severity: Warning, Title: `param is not used`,
		Explanation: `The policy declares a param that nothing uses.`,
		Bad:         "policy p\nparam most: int = 10\n",
		Good: `policy p
param most: int = 10
deny exec when uid > most
`},
	{Code: SetEmpty, Severity: Warning, Title: `empty set`,
		Explanation: `Nothing is in an empty set, so conditions on it are false.`,
		Bad: `policy p
set web = port { }
deny net.bind unless port in web
`,
		Good: `policy p
set web = port { 80 }
deny net.bind unless port in web
`},
	{Code: PathImpossible, Severity: Warning, Title: `path that cannot exist`,
		Explanation: `Events have canonical paths: without //, without the components . and .., without a slash at the end (but / itself), and at most 4,095 bytes long. A pattern that no such path matches never holds.`,
		Bad: `policy p
deny exec when path == "/usr//bin/sh"
deny capability
`,
		Good: `policy p
deny exec when path == "/usr/bin/sh"
deny capability
`},
	{Code: GlobInLiteral, Severity: Warning, Title: `wildcard where bytes are compared`,
		Explanation: `== and under compare names as they are; * and its like mean themselves there. Globs stand after matches and in path sets.`,
		Bad: `policy p
deny exec when path == "/usr/bin/php*"
deny capability
`,
		Good: `policy p
deny exec when path matches "/usr/bin/php*"
deny capability
`},
	{Code: DuplicateMember, Severity: Warning, Title: `member given twice`,
		Explanation: `The set holds this member already.`,
		Bad: `policy p
set web = port { 80, 443, 80 }
deny net.bind when port in web
`,
		Good: `policy p
set web = port { 80, 443 }
deny net.bind when port in web
`},
	{Code: OperationTwice, Severity: Warning, Title: `operation named twice`,
		Explanation: `The rule or default names an operation twice, or by itself and by a group. In a rule it then counts as one of the group: path stands for each path that the operation has.`,
		Bad:         "policy p\ndeny exec, exec when uid == 0\n",
		Good:        "policy p\ndeny exec when uid == 0\n"},
	{Code: OnlyWrite, Severity: Warning, Title: `path protected against writing alone`,
		Explanation: `file.write is opening a file to write. A file can also be created, renamed or linked in place of the path that is protected. The group file.change is all of these.`,
		Bad: `policy p
deny file.write when path under "/etc"
deny capability
`,
		Good: `policy p
deny file.change when path under "/etc"
deny capability
`},
	{Code: DefaultDenyOpen, Severity: Warning, Title: `default deny that leaves operations open`,
		Explanation: `A default for everything applies to the operations that this version mediates. The others stay open, and the message lists them. Naming the operations in the default silences the warning.`,
		Bad:         "policy p\ndefault deny\n",
		Good:        "policy p\ndefault deny for exec, file.see, file.change\n"},
	{Code: PathsMovable, Severity: Note, Title: `paths that a process may move`,
		Explanation: `Paths depend on mounts and on the process's root. Operations that change these are not mediated in this version, but they need capabilities, in the initial or in a user namespace. A policy that has rules about paths should deny CAP_SYS_ADMIN and CAP_SYS_CHROOT, or say by any rule or default about capability that it has decided.`,
		Bad: `policy p
deny exec when path == "/bin/sh"
`,
		Good: `policy p
deny exec when path == "/bin/sh"
deny capability when cap in { CAP_SYS_ADMIN, CAP_SYS_CHROOT }
`},
	{Code: ErrnoIgnored, Severity: Warning, Title: `errno without effect`,
		Explanation: `The kernel asks whether a capability may be used and chooses the errno of the system call itself, mostly EPERM.`,
		Bad:         "policy p\ndeny capability when cap == CAP_KILL errno ENOENT\n",
		Good:        "policy p\ndeny capability when cap == CAP_KILL\n"},
	{Code: EmptyBlock, Severity: Warning, Title: `block without rules`,
		Explanation: `A when block holds rules; one without has no effect.`,
		Bad: `policy p
when uid == 0 {
}
`,
		Good: `policy p
when uid == 0 {
    deny exec
}
`},
	{Code: TextTooLong, Severity: Warning, Title: `text longer than the field`,
		Explanation: `The kernel keeps the first 15 bytes of a thread's name in comm, so a longer text is never equal to it.`,
		Bad: `policy p
deny exec when comm == "systemd-journald"
`,
		Good: `policy p
deny exec when comm == "systemd-journal"
`},
}

// manyRules is a policy with 10,001 rules.
func manyRules() string { return "policy p\n" + strings.Repeat("deny exec when uid == 0\n", 10_001) }

// manyMembers is a policy with 100,001 members in two sets.
func manyMembers() string {
	var b strings.Builder
	b.WriteString("policy p\nset few = int { 1 }\nset ids = int { few")
	for i := range 100_000 {
		fmt.Fprintf(&b, ", %d", 2*i)
	}
	b.WriteString(" }\ndeny exec when uid in ids\n")
	return b.String()
}

// largeConditions is a policy with 1,200 rules in a block of 900 comparisons.
func largeConditions() string {
	return "policy p\nwhen uid == gid" + strings.Repeat(" or uid == gid", 899) + " {\n" + strings.Repeat("deny exec\n", 1200) + "}\n"
}
