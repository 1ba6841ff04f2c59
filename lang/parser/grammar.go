package parser

import (
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"github.com/snappy-policy/snappy/lang/ast"
)

// The statement grammars. A lexer.Token field captures one token; word is used
// where there may be several.
type (
	word struct {
		Tok lexer.Token `parser:"@(Name | Operation)"`
	}
	plain struct {
		Tok lexer.Token `parser:"@Name"`
	}
	policyGrammar struct {
		Name lexer.Token `parser:"'policy' @Name"`
	}
	importGrammar struct {
		Path lexer.Token `parser:"'import' @String"`
	}
	paramGrammar struct {
		Name    lexer.Token  `parser:"'param' @Name"`
		Type    lexer.Token  `parser:"':' @Name"`
		Default *lexer.Token `parser:"('=' @Condition)?"`
	}
	setGrammar struct {
		Name lexer.Token `parser:"'set' @Name"`
		Kind lexer.Token `parser:"'=' @Name"`
		Set  lexer.Token `parser:"@Condition"`
	}
	defaultGrammar struct {
		Verb lexer.Token `parser:"'default' @('allow' | 'deny')"`
		Ops  []word      `parser:"('for' @@ (',' @@)*)?"`
	}
	ruleGrammar struct {
		Verb    lexer.Token  `parser:"@('allow' | 'deny' | 'kill' | 'audit')"`
		Ops     []word       `parser:"@@ (',' @@)*"`
		Name    *lexer.Token `parser:"('as' @Name)?"`
		When    *lexer.Token `parser:"('when' @Condition)?"`
		Unless  *lexer.Token `parser:"('unless' @Condition)?"`
		Errno   *lexer.Token `parser:"('errno' @Constant)?"`
		Because *lexer.Token `parser:"('because' @String)?"`
	}
	stateGrammar struct {
		Name  lexer.Token  `parser:"'state' @Name"`
		Type  lexer.Token  `parser:"':' @('bool' | 'int')"`
		Scope lexer.Token  `parser:"'per' @('process' | 'namespace')"`
		Init  *lexer.Token `parser:"('=' @Condition)?"`
	}
	onGrammar struct {
		Ops   []word       `parser:"'on' @@ (',' @@)*"`
		When  *lexer.Token `parser:"('when' @Condition)?"`
		Inc   *lexer.Token `parser:"( 'inc' @Name"`
		Set   *lexer.Token `parser:"| 'set' @Name"`
		Value *lexer.Token `parser:"'=' @Condition )"`
	}
	unresolvedStmtGrammar struct {
		Ops []word `parser:"'on' 'unresolved' 'allow' ('for' @@ (',' @@)*)?"`
	}
	limitGrammar struct {
		Ops   []word       `parser:"'limit' @@ (',' @@)*"`
		Count lexer.Token  `parser:"'to' @Integer"`
		Per   lexer.Token  `parser:"'per' @Duration"`
		Scope *lexer.Token `parser:"('per' @('process' | 'namespace'))?"`
		When  *lexer.Token `parser:"('when' @Condition)?"`
	}
	whenGrammar struct {
		Cond lexer.Token `parser:"'when' @Condition"`
	}
	helperGrammar struct {
		Name     lexer.Token  `parser:"'helper' @Name"`
		Params   []plain      `parser:"'(' (@@ (',' @@)*)? ')'"`
		Result   lexer.Token  `parser:"'->' @Name"`
		Kfunc    *lexer.Token `parser:"('=' 'kfunc' @String)?"`
		Optional *lexer.Token `parser:"@'optional'?"`
	}
	testGrammar struct {
		Name lexer.Token `parser:"'test' @String"`
	}

	argGrammar struct {
		Field  lexer.Token `parser:"@(Name | Operation) '='"`
		Values []valueWord `parser:"@@ (',' @@)*"`
	}
	valueWord struct {
		Tok lexer.Token `parser:"@Condition"`
	}
	eventGrammar struct {
		Op     lexer.Token    `parser:"@(Name | Operation)"`
		Args   []argGrammar   `parser:"@@*"`
		Expect *expectGrammar `parser:"@@?"`
	}
	expectGrammar struct {
		Arrow   lexer.Token  `parser:"@'=>'"`
		Verdict lexer.Token  `parser:"@('allow' | 'deny' | 'kill')"`
		By      *lexer.Token `parser:"('by' @Name)?"`
		Errno   *lexer.Token `parser:"('errno' @Constant)?"`
		Audited []plain      `parser:"('audited' 'by' @@ (',' @@)*)?"`
	}
	subjectGrammar struct {
		Args []argGrammar `parser:"'as' @@+"`
	}
	moveGrammar struct {
		Kind lexer.Token `parser:"@('fork' | 'exit')"`
	}
	waitGrammar struct {
		For lexer.Token `parser:"'wait' @Duration"`
	}
	stackGrammar struct {
		Path lexer.Token `parser:"'stack' @String"`
	}
)

// grammar is how one kind of statement or test step is read.
type grammar struct {
	keyword    string
	usage      string // its form, for help lines
	inBlock    bool   // may stand in a when block
	conditions bool   // when and unless begin conditions
	assigns    assigns
	parse      func(p *parser, h *header) (ast.Stmt, bool)
	parseStep  func(p *parser, h *header) (ast.TestStep, bool)
	block      blockKind
}

// blockKind says which block ends a statement.
type blockKind uint8

const (
	blockNone  blockKind = iota // the statement ends with its line
	blockRules                  // statements
	blockTest                   // test steps
)

// reader makes the function that runs a grammar over a header and builds a node.
// The participle parser is made at first use and is safe for concurrent use.
func reader[G, N any](g *grammar, build func(p *parser, h *header, c *G) N) func(*parser, *header) (N, bool) {
	made := sync.OnceValue(func() *participle.Parser[G] { return participle.MustBuild[G](participle.Lexer(symbols{})) })
	return func(p *parser, h *header) (node N, ok bool) {
		lex, err := lexer.Upgrade(h)
		if err == nil {
			var c *G
			if c, err = made().ParseFromLexer(lex); err == nil {
				return build(p, h, c), true
			}
		}
		p.grammarError(g, h, err)
		return node, false
	}
}

func stmt[G any](g grammar, build func(p *parser, h *header, c *G) ast.Stmt) *grammar {
	g.parse = reader(&g, build)
	return &g
}

func step[G any](g grammar, build func(p *parser, h *header, c *G) ast.TestStep) *grammar {
	g.parseStep = reader(&g, build)
	return &g
}

const ruleForm = " OPERATION, … [as NAME] [when C] [unless C] [errno E] [because \"…\"]"

var (
	allowGrammar  = stmt(grammar{keyword: "allow", usage: "allow" + ruleForm, inBlock: true, conditions: true, assigns: assignsWord}, buildRule)
	denyGrammar   = stmt(grammar{keyword: "deny", usage: "deny" + ruleForm, inBlock: true, conditions: true, assigns: assignsWord}, buildRule)
	killGrammar   = stmt(grammar{keyword: "kill", usage: "kill" + ruleForm, inBlock: true, conditions: true, assigns: assignsWord}, buildRule)
	auditGrammar  = stmt(grammar{keyword: "audit", usage: "audit" + ruleForm, inBlock: true, conditions: true, assigns: assignsWord}, buildRule)
	statementList = []*grammar{
		stmt(grammar{keyword: "policy", usage: "policy NAME", assigns: assignsWord}, buildPolicy),
		stmt(grammar{keyword: "import", usage: `import "./file.snp"`, assigns: assignsWord}, buildImport),
		stmt(grammar{keyword: "param", usage: "param NAME: TYPE = DEFAULT", assigns: assignsValue}, buildParam),
		stmt(grammar{keyword: "set", usage: "set NAME = KIND { … }", assigns: assignsSet}, buildSet),
		stmt(grammar{keyword: "default", usage: "default allow|deny [for OPERATION, …]", assigns: assignsWord}, buildDefault),
		allowGrammar, denyGrammar, killGrammar, auditGrammar,
		stmt(grammar{keyword: "state", usage: "state NAME: bool|int per process|namespace [= VALUE]", assigns: assignsValue}, buildState),
		stmt(grammar{keyword: "on", usage: "on OPERATION, … [when C] set STATE = VALUE, or … inc STATE", inBlock: true, conditions: true, assigns: assignsValue}, buildOn),
		stmt(grammar{keyword: "limit", usage: "limit OPERATION, … to N per DURATION [per process|namespace] [when C]", inBlock: true, conditions: true, assigns: assignsWord}, buildLimit),
		stmt(grammar{keyword: "when", usage: "when CONDITION { … }", inBlock: true, conditions: true, assigns: assignsWord, block: blockRules}, buildWhen),
		stmt(grammar{keyword: "helper", usage: `helper NAME(TYPE, …) -> TYPE [= kfunc "symbol"] [optional]`, assigns: assignsWord}, buildHelper),
		stmt(grammar{keyword: "test", usage: `test "…" { … }`, assigns: assignsWord, block: blockTest}, buildTest),
	}
	unresolvedGrammar = stmt(grammar{keyword: "on", usage: "on unresolved allow [for OPERATION, …]", assigns: assignsWord}, buildUnresolved)

	eventStep = step(grammar{usage: "OPERATION field=value … => VERDICT", assigns: assignsList}, buildEvent)
	stepList  = []*grammar{
		step(grammar{keyword: "as", usage: "as field=value …", assigns: assignsList}, buildSubject),
		step(grammar{keyword: "fork", usage: "fork", assigns: assignsList}, buildMove),
		step(grammar{keyword: "exit", usage: "exit", assigns: assignsList}, buildMove),
		step(grammar{keyword: "wait", usage: "wait DURATION", assigns: assignsList}, buildWait),
		step(grammar{keyword: "stack", usage: `stack "file.snp"`, assigns: assignsList}, buildStack),
	}
	statementGrammars, statementWords = index(statementList)
	stepGrammars, _                   = index(stepList)
)

func index(list []*grammar) (map[string]*grammar, []string) {
	m := map[string]*grammar{}
	var words []string
	for _, g := range list {
		m[g.keyword] = g
		words = append(words, g.keyword)
	}
	return m, words
}

func grammarFor(keyword string) *grammar { return statementGrammars[keyword] }

func stepGrammarFor(keyword string) *grammar {
	if g := stepGrammars[keyword]; g != nil {
		return g
	}
	return eventStep
}
