package guest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The stream on the result port is a sequence of frames, each opened by a
// line of its own:
//
//	RIG-RUN <payload>                       the payload starts now
//	RIG-OUT <payload> <fd> <bytes>          then so many bytes and a newline
//	RIG-END <payload> <code> <ms> <quoted reason>
//	RIG-LOG <quoted text>
//	RIG-RC <code>                           the trailer, always last
//
// Output travels length-prefixed, so payloads may print anything, including
// lines that look like frames, and stdout and stderr stay apart.

// MaxChunk is the largest payload of an output frame, in bytes.
const MaxChunk = 1 << 16

// Stream numbers of output frames.
const (
	Stdout = 1
	Stderr = 2
)

// End is how one payload ended.
type End struct {
	Code    int           // exit code; 128+n when signal n killed it; ExitRig, see there
	Elapsed time.Duration // guest time, in milliseconds precision
	Reason  string        // why the code is not the payload's own; else empty
}

// Writer writes frames. It is safe for concurrent use.
type Writer struct {
	mu  sync.Mutex
	out io.Writer
}

// NewWriter returns a Writer on w, which gets one Write per frame.
func NewWriter(w io.Writer) *Writer { return &Writer{out: w} }

func (w *Writer) write(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.out.Write(b)
	return err
}

// Start sends that a payload is about to start.
func (w *Writer) Start(payload int) error {
	return w.write(fmt.Appendf(nil, "RIG-RUN %d\n", payload))
}

// Output sends what a payload printed on stream (Stdout or Stderr).
func (w *Writer) Output(payload, stream int, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), MaxChunk)
		b := fmt.Appendf(nil, "RIG-OUT %d %d %d\n", payload, stream, n)
		b = append(b, data[:n]...)
		if err := w.write(append(b, '\n')); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// End sends how a payload ended.
func (w *Writer) End(payload int, e End) error {
	return w.write(fmt.Appendf(nil, "RIG-END %d %d %d %q\n", payload, e.Code, e.Elapsed.Milliseconds(), e.Reason))
}

// Log sends a remark of init's own.
func (w *Writer) Log(format string, args ...any) error {
	return w.write(fmt.Appendf(nil, "RIG-LOG %q\n", fmt.Sprintf(format, args...)))
}

// Trailer ends the stream with the code of the whole run.
func (w *Writer) Trailer(code int) error {
	return w.write(fmt.Appendf(nil, "RIG-RC %d\n", code))
}

// ErrNoTrailer is returned for a stream that ends before its trailer: the
// guest died, hung or never started.
var ErrNoTrailer = errors.New("no RIG-RC trailer from the guest")

// Handler receives frames in the order in which they were sent. A nil function
// ignores its frames. An error stops the reading and is returned.
type Handler struct {
	Start  func(payload int) error
	Output func(payload, stream int, data []byte) error // data is valid during the call only
	End    func(payload int, e End) error
	Log    func(text string) error
}

// Read reads frames up to the trailer, whose code it returns. The error is
// ErrNoTrailer when the stream ended before, with the cause wrapped, and another
// one when the stream is not well-formed.
func Read(r io.Reader, h Handler) (int, error) {
	br := bufio.NewReaderSize(r, 2*MaxChunk)
	buf := make([]byte, MaxChunk+1)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return 0, missing(err)
		}
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 2)
		if len(f) != 2 {
			return 0, malformed(line)
		}
		switch f[0] {
		case "RIG-RC":
			code, err := strconv.Atoi(f[1])
			if err != nil || code < 0 || code > 255 {
				return 0, malformed(line)
			}
			return code, nil
		case "RIG-RUN":
			n, ok := numbers(f[1], 1)
			if !ok {
				return 0, malformed(line)
			}
			if h.Start != nil {
				if err := h.Start(n[0]); err != nil {
					return 0, err
				}
			}
		case "RIG-OUT":
			n, ok := numbers(f[1], 3)
			if !ok || n[1] != Stdout && n[1] != Stderr || n[2] < 1 || n[2] > MaxChunk {
				return 0, malformed(line)
			}
			data := buf[:n[2]+1]
			if _, err := io.ReadFull(br, data); err != nil {
				return 0, missing(err)
			}
			if data[n[2]] != '\n' {
				return 0, malformed(line)
			}
			if h.Output != nil {
				if err := h.Output(n[0], n[1], data[:n[2]]); err != nil {
					return 0, err
				}
			}
		case "RIG-END":
			head, quoted, found := strings.Cut(f[1], ` "`)
			n, ok := numbers(head, 3)
			reason, err := strconv.Unquote(`"` + quoted)
			if !found || !ok || err != nil || n[1] > 255 {
				return 0, malformed(line)
			}
			if h.End != nil {
				if err := h.End(n[0], End{n[1], time.Duration(n[2]) * time.Millisecond, reason}); err != nil {
					return 0, err
				}
			}
		case "RIG-LOG":
			text, err := strconv.Unquote(f[1])
			if err != nil {
				return 0, malformed(line)
			}
			if h.Log != nil {
				if err := h.Log(text); err != nil {
					return 0, err
				}
			}
		default:
			return 0, malformed(line)
		}
	}
}

func numbers(s string, want int) ([]int, bool) {
	fields := strings.Split(s, " ")
	if len(fields) != want {
		return nil, false
	}
	n := make([]int, want)
	for i, f := range fields {
		v, err := strconv.Atoi(f)
		if err != nil || v < 0 {
			return nil, false
		}
		n[i] = v
	}
	return n, true
}

func missing(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrNoTrailer
	}
	return fmt.Errorf("%w: %w", ErrNoTrailer, err)
}

func malformed(line string) error {
	return fmt.Errorf("malformed frame %.80q", line)
}
