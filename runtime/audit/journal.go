package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The journal is a file of JSON lines, one per event, in the state directory.
// Whoever holds its lock is the one consumer of the ring buffer and appends;
// everybody else reads. When it has grown beyond journalMax it becomes the old
// journal, which it replaces.
const (
	journalName = "events.jsonl"
	journalOld  = "events.old.jsonl"
	journalLock = "events.lock"
	journalMax  = 16 << 20
	// pollEvery is how often readers look for new lines, and would-be consumers for the lock.
	pollEvery = 20 * time.Millisecond
	maxLine   = 1 << 20
)

// Journal is where events go when they have left the ring buffer.
type Journal struct{ dir string }

// OpenJournal uses the journal in a state directory, which must exist.
func OpenJournal(dir string) *Journal { return &Journal{dir} }

// consumer is the right to consume the ring and append.
type consumer struct {
	journal *Journal
	lock    *os.File
	file    *os.File
	size    int64
}

// errBusy: another process consumes.
var errBusy = errors.New("another process consumes the events")

func (j *Journal) consume() (*consumer, error) {
	lock, err := os.OpenFile(filepath.Join(j.dir, journalLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("lock the journal: %w", err)
	}
	c := &consumer{journal: j, lock: lock}
	if err := c.open(); err != nil {
		lock.Close()
		return nil, err
	}
	return c, nil
}

func (c *consumer) open() error {
	f, err := os.OpenFile(filepath.Join(c.journal.dir, journalName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	c.file, c.size = f, st.Size()
	return nil
}

// append writes one event as one write, so that readers see whole lines.
func (c *consumer) append(e *Event) error {
	if c.size > journalMax {
		if err := os.Rename(filepath.Join(c.journal.dir, journalName), filepath.Join(c.journal.dir, journalOld)); err != nil {
			return err
		}
		c.file.Close()
		if err := c.open(); err != nil {
			return err
		}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	n, err := c.file.Write(append(line, '\n'))
	c.size += int64(n)
	return err
}

func (c *consumer) close() {
	c.file.Close()
	c.lock.Close()
}

// Tail reads the journal's events.
type Tail struct {
	journal *Journal
	file    *os.File
	reader  *bufio.Reader
	partial []byte
}

// Tail starts reading: at the end, so that only later events are seen, or with
// everything that the journal still has.
func (j *Journal) Tail(fromEnd bool) (*Tail, error) {
	t := &Tail{journal: j}
	name := journalName
	if !fromEnd {
		if _, err := os.Stat(filepath.Join(j.dir, journalOld)); err == nil {
			name = journalOld
		}
	}
	if err := t.open(name); err != nil {
		return nil, err
	}
	if fromEnd {
		if _, err := t.file.Seek(0, io.SeekEnd); err != nil {
			t.Close()
			return nil, err
		}
	}
	return t, nil
}

func (t *Tail) open(name string) error {
	f, err := os.OpenFile(filepath.Join(t.journal.dir, name), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	if t.file != nil {
		t.file.Close()
	}
	t.file, t.reader, t.partial = f, bufio.NewReader(f), nil
	return nil
}

// Close ends reading.
func (t *Tail) Close() error { return t.file.Close() }

// Next gives the next event, or nil if there is none at present.
func (t *Tail) Next() (*Event, error) {
	for {
		line, err := t.reader.ReadBytes('\n')
		t.partial = append(t.partial, line...)
		if err == nil {
			var e Event
			line := t.partial
			t.partial = nil
			if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil {
				return nil, fmt.Errorf("journal: %w", err)
			}
			return &e, nil
		}
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(t.partial) > maxLine {
			return nil, fmt.Errorf("journal: a line of more than %d bytes", maxLine)
		}
		moved, err := t.replaced()
		if err != nil || !moved {
			return nil, err
		}
		if err := t.open(journalName); err != nil {
			return nil, err
		}
	}
}

// replaced tells whether the file being read is no longer the journal, so that
// nothing will be appended to it.
func (t *Tail) replaced() (bool, error) {
	have, err := t.file.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Stat(filepath.Join(t.journal.dir, journalName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !os.SameFile(have, now), nil
}

// Follow gives events as they come, until ctx is done.
func (t *Tail) Follow(ctx context.Context, each func(*Event) error) error {
	for {
		e, err := t.Next()
		if err != nil {
			return err
		}
		if e != nil {
			if err := each(e); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
	}
}
