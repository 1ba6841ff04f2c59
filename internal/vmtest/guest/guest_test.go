package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// record collects frames as lines, for comparison.
func record(lines *[]string) Handler {
	add := func(format string, args ...any) error {
		*lines = append(*lines, fmt.Sprintf(format, args...))
		return nil
	}
	return Handler{
		Start:  func(p int) error { return add("start %d", p) },
		Output: func(p, s int, d []byte) error { return add("out %d %d %q", p, s, d) },
		End:    func(p int, e End) error { return add("end %d %+v", p, e) },
		Log:    func(s string) error { return add("log %q", s) },
	}
}

func TestFramesRoundTrip(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	require.NoError(t, w.Log("a %s", "line\nbreak"))
	require.NoError(t, w.Start(0))
	require.NoError(t, w.Output(0, Stdout, []byte("no newline")))
	require.NoError(t, w.Output(0, Stderr, []byte("RIG-RC 0\n\x00\xff")))
	require.NoError(t, w.Output(0, Stdout, nil))
	require.NoError(t, w.End(0, End{}))
	require.NoError(t, w.End(1, End{Code: ExitRig, Elapsed: 1500 * time.Millisecond, Reason: `it "broke"`}))
	require.NoError(t, w.Trailer(3))
	b.WriteString("bytes after the trailer are not read")

	var got []string
	code, err := Read(&b, record(&got))
	require.NoError(t, err)
	require.Equal(t, 3, code)
	require.Equal(t, []string{
		`log "a line\nbreak"`,
		`start 0`,
		`out 0 1 "no newline"`,
		`out 0 2 "RIG-RC 0\n\x00\xff"`,
		`end 0 {Code:0 Elapsed:0s Reason:}`,
		`end 1 {Code:125 Elapsed:1.5s Reason:it "broke"}`,
	}, got)
}

func TestLargeOutputIsSplit(t *testing.T) {
	var b, out bytes.Buffer
	w := NewWriter(&b)
	data := bytes.Repeat([]byte("0123456789\n"), MaxChunk/4)
	require.NoError(t, w.Output(0, Stdout, data))
	require.NoError(t, w.Trailer(0))
	chunks := 0
	_, err := Read(&b, Handler{Output: func(_, _ int, d []byte) error {
		require.LessOrEqual(t, len(d), MaxChunk)
		chunks++
		out.Write(d)
		return nil
	}})
	require.NoError(t, err)
	require.Equal(t, 3, chunks)
	require.True(t, bytes.Equal(data, out.Bytes()))
}

// Wherever the stream is cut, the reader must not take it for complete.
func TestCutStreamHasNoTrailer(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	w.Output(0, Stdout, []byte("hello\n"))
	w.End(0, End{})
	w.Trailer(0)
	whole := b.String()
	for n := range len(whole) {
		_, err := Read(strings.NewReader(whole[:n]), Handler{})
		require.ErrorIs(t, err, ErrNoTrailer, "%d bytes", n)
	}
	_, err := Read(strings.NewReader(whole), Handler{})
	require.NoError(t, err)
}

func TestMalformedFrames(t *testing.T) {
	for _, s := range []string{
		"\n", "hello\n", "RIG-RC\n", "RIG-RC x\n", "RIG-RC -1\n", "RIG-RC 256\n", "RIG-RC 0 0\n",
		"RIG-OUT 0 1\n", "RIG-OUT 0 3 1\nx\n", "RIG-OUT 0 1 0\n\n", "RIG-OUT 0 1 99999999\n", "RIG-OUT -1 1 1\nx\n", "RIG-OUT 0 1 1\nxx\n",
		"RIG-END 0 0 0\n", "RIG-END 0 0 \"\"\n", "RIG-END 0 300 0 \"\"\n", "RIG-END 0 0 0 \"\n", "RIG-LOG text\n", "RIG-NEW 1\n", "RIG-RUN\n", "RIG-RUN x\n", "RIG-RUN 0 0\n",
	} {
		_, err := Read(strings.NewReader(s+"RIG-RC 0\n"), Handler{})
		require.Error(t, err, "%q", s)
		require.NotErrorIs(t, err, ErrNoTrailer, "%q", s)
	}
}

func TestHandlerErrorStops(t *testing.T) {
	stop := errors.New("stop")
	_, err := Read(strings.NewReader("RIG-LOG \"x\"\nRIG-RC 0\n"), Handler{Log: func(string) error { return stop }})
	require.ErrorIs(t, err, stop)
}

func TestReadErrorIsKept(t *testing.T) {
	_, err := Read(io.MultiReader(strings.NewReader("RIG-"), failing{}), Handler{})
	require.ErrorIs(t, err, ErrNoTrailer)
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func FuzzRead(f *testing.F) {
	f.Add([]byte("RIG-OUT 0 1 1\nx\nRIG-END 0 0 0 \"\"\nRIG-RC 0\n"))
	f.Add([]byte("RIG-LOG \"a\"\nRIG-RC 255\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		code, err := Read(bytes.NewReader(data), Handler{})
		if err == nil && (code < 0 || code > 255) {
			t.Fatalf("code %d", code)
		}
	})
}

func TestPlan(t *testing.T) {
	good := func() Plan {
		return Plan{Hostname: "h", TmpfsRoot: true, Modules: []string{"/m.ko"}, Payloads: []Payload{
			{Argv: []string{"/bin/true", "a b"}, Env: []string{"A=1"}, Dir: "/", Timeout: time.Second},
		}}
	}
	p := good()
	data, err := p.Marshal()
	require.NoError(t, err)
	got, err := ParsePlan(data)
	require.NoError(t, err)
	require.Equal(t, &p, got)

	for name, spoil := range map[string]func(*Plan){
		"no payload":       func(p *Plan) { p.Payloads = nil },
		"no program":       func(p *Plan) { p.Payloads[0].Argv = nil },
		"empty program":    func(p *Plan) { p.Payloads[0].Argv[0] = "" },
		"relative folder":  func(p *Plan) { p.Payloads[0].Dir = "x" },
		"negative timeout": func(p *Plan) { p.Payloads[0].Timeout = -1 },
		"NUL":              func(p *Plan) { p.Payloads[0].Env[0] = "A=\x00" },
	} {
		p := good()
		spoil(&p)
		_, err := p.Marshal()
		require.Error(t, err, name)
	}
	_, err = ParsePlan([]byte("{"))
	require.Error(t, err)
	_, err = ParsePlan([]byte("{}"))
	require.Error(t, err)
}
