package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"time"

	"github.com/cilium/ebpf"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/runtime/audit"
	"github.com/snappy-policy/snappy/runtime/namespace"
)

func newEvents() *cobra.Command {
	var follow bool
	var form string
	var space uint64
	c := &cobra.Command{
		Use: "events [-f]", Short: "Show what the kernel reported (root)", Args: noArgs,
		Long: `events prints the denials and audits that the kernel has reported since boot, as
far as the journal in ` + namespace.DefaultStateDir + ` reaches (16 to 32 MiB); with -f it goes on with
those to come, until it is interrupted. With --format json each line is one event.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("format", form, "text", "json"); err != nil {
				return err
			}
			return events(follow, func(e *audit.Event) error {
				if space != 0 && e.Namespace != space {
					return nil
				}
				if form == "json" {
					out := json.NewEncoder(c.OutOrStdout())
					out.SetEscapeHTML(false)
					return out.Encode(e)
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s namespace %d: %s\n", e.Time.Format("2006-01-02T15:04:05.000Z07:00"), e.Namespace, e)
				return err
			})
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the events to come")
	c.Flags().StringVar(&form, "format", "text", "text or json")
	c.Flags().Uint64Var(&space, "namespace", 0, "only the events of this namespace")
	return c
}

// events gives the events of the journal, and what is in the kernel's ring still.
func events(follow bool, each func(*audit.Event) error) error {
	if _, err := os.Stat(namespace.DefaultStateDir); errors.Is(err, fs.ErrNotExist) {
		if !follow {
			return nil // nothing has ever run
		}
		if err := os.MkdirAll(namespace.DefaultStateDir, 0o700); err != nil {
			return err
		}
	}
	journal := audit.OpenJournal(namespace.DefaultStateDir)
	tail, err := journal.Tail(false)
	if err != nil {
		return err
	}
	defer tail.Close()
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer cancel()
	p := pumping{journal: journal}
	if err := p.renew(); err != nil {
		return err
	}
	if !follow {
		if err := p.stop(ctx); err != nil {
			return err
		}
		for {
			e, err := tail.Next()
			if err != nil || e == nil {
				return err
			}
			if err := each(e); err != nil {
				return err
			}
		}
	}
	failed := make(chan error, 1)
	go func() { failed <- p.keep(ctx); cancel() }()
	err = tail.Follow(ctx, each)
	cancel()
	return errors.Join(err, <-failed)
}

// pumping moves events from the ring of the core, if there is one, to the journal.
type pumping struct {
	journal *audit.Journal
	manager *namespace.Manager
	ring    *ebpf.Map
	id      ebpf.MapID
	pump    *audit.Pump
}

// renewEvery is how often keep looks whether there is another core.
const renewEvery = 500 * time.Millisecond

// keep pumps from whatever core there is, until ctx is done.
func (p *pumping) keep(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			limit, end := context.WithTimeout(context.Background(), drainTime)
			defer end()
			return p.stop(limit)
		case <-time.After(renewEvery):
		}
		if err := p.renew(); err != nil {
			return err
		}
	}
}

// renew starts to pump if there is a core, and begins anew if it is another one.
func (p *pumping) renew() error {
	if p.manager == nil {
		m, err := namespace.Attach(namespace.Options{})
		if errors.Is(err, namespace.ErrNoCore) {
			return nil
		}
		if err != nil {
			return err
		}
		p.manager = m
	}
	ring, err := p.manager.Map(abi.MapEvents)
	if errors.Is(err, fs.ErrNotExist) { // it has been removed
		p.manager = nil
		return p.stop(context.Background())
	}
	if err != nil {
		return err
	}
	info, err := ring.Info()
	if err != nil {
		ring.Close()
		return err
	}
	id, _ := info.ID()
	if p.pump != nil && id == p.id {
		return ring.Close()
	}
	if err := p.stop(context.Background()); err != nil {
		ring.Close()
		return err
	}
	archive, err := audit.OpenArchive(namespace.DefaultStateDir)
	if err == nil {
		p.pump, err = audit.StartPump(ring, p.journal, archive.Meta)
	}
	if err != nil {
		ring.Close()
		return err
	}
	p.ring, p.id = ring, id
	return nil
}

// stop waits until the ring is empty, and ends the pump.
func (p *pumping) stop(ctx context.Context) error {
	if p.pump == nil {
		return nil
	}
	limit, end := context.WithTimeout(ctx, drainTime)
	defer end()
	err := errors.Join(p.pump.Drain(limit), p.pump.Stop(), p.ring.Close())
	p.pump, p.ring = nil, nil
	return err
}

// drainTime limits the wait for what the kernel has reported already.
const drainTime = 5 * time.Second
