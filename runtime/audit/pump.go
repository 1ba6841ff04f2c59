package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

// Pump moves events from the kernel's ring buffer to the journal while no other
// process does. A ring has one consumer: several programs may run a Pump at the
// same time, one of them works and the others take over when it ends.
type Pump struct {
	journal  *Journal
	ring     *ringbuf.Reader
	policies Policies
	cancel   context.CancelFunc
	done     chan struct{}
	err      error
}

// StartPump starts to pump in the background. events is the map abi.MapEvents;
// it must stay open until Stop.
func StartPump(events *ebpf.Map, journal *Journal, policies Policies) (*Pump, error) {
	ring, err := ringbuf.NewReader(events)
	if err != nil {
		return nil, fmt.Errorf("open the event ring: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Pump{journal: journal, ring: ring, policies: policies, cancel: cancel, done: make(chan struct{})}
	go p.run(ctx)
	return p, nil
}

func (p *Pump) run(ctx context.Context) {
	defer close(p.done)
	var c *consumer
	for c == nil {
		var err error
		c, err = p.journal.consume()
		if err != nil && !errors.Is(err, errBusy) {
			p.err = err
			return
		}
		if c == nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pollEvery):
			}
		}
	}
	defer c.close()
	for {
		p.ring.SetDeadline(time.Now().Add(pollEvery))
		rec, err := p.ring.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if ctx.Err() != nil {
				return
			}
			continue
		}
		if err != nil {
			p.err = fmt.Errorf("read the event ring: %w", err)
			return
		}
		e, err := Decode(rec.RawSample, p.policies)
		if err != nil {
			// A record that cannot be decoded must not hide those behind it.
			e = &Event{Time: time.Now(), Verdict: "unreadable", Reason: err.Error()}
		}
		if err := c.append(e); err != nil {
			p.err = err
			return
		}
	}
}

// Drain returns when everything that the kernel had reported before the call is
// in the journal, whoever put it there, or when ctx is done.
func (p *Pump) Drain(ctx context.Context) error {
	for p.ring.AvailableBytes() > 0 {
		select {
		case <-p.done:
			return p.err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery / 4):
		}
	}
	// The last record may have left the ring and not reached the file.
	time.Sleep(pollEvery)
	return nil
}

// Stop empties the ring if this Pump is the consumer, and ends it.
func (p *Pump) Stop() error {
	p.cancel()
	<-p.done
	p.ring.Close()
	return p.err
}
