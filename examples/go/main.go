// A client in Go, without a library of ours. It shows the main parts of docs/other-languages.md: metadata, request
// ids, repeats, updates in a loop that loses nothing, and a watch that goes on from its cursor.
//
//	go generate && go run .
//
// CORTEX_ADDRESS names the server; default 127.0.0.1:50051.
package main

//go:generate npx --no-install buf generate ../../proto --template buf.gen.yaml --path ../../proto/cortex

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	mathrand "math/rand"
	"os"
	"strconv"
	"sync"
	"time"

	changes "example.com/cortex-store-go/gen/cortex/changes/v1"
	errorpb "example.com/cortex-store-go/gen/cortex/error/v1"
	mutable "example.com/cortex-store-go/gen/cortex/mutable/v1"
	options "example.com/cortex-store-go/gen/cortex/options/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// reasonOf gives why a call failed, such as KEY_NOT_FOUND, with its details; "" if the server gave no reason.
func reasonOf(err error) (string, map[string]string) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "cortex.store" {
			return info.Reason, info.Metadata
		}
	}
	return "", nil
}

// traitsOf gives what a client may conclude from a reason, as the proto declares it.
func traitsOf(reason string) *options.ReasonTraits {
	values := errorpb.ErrorReason(0).Descriptor().Values()
	value := values.ByName(protoreflect.Name("ERROR_REASON_" + reason))
	if value == nil {
		return &options.ReasonTraits{}
	}
	return proto.GetExtension(value.Options(), options.E_Reason).(*options.ReasonTraits)
}

// repeating makes a call until it succeeds, fails for good, or the context ends. The call must do no harm if it is made
// twice: a read, or a write with a request id.
func repeating[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for failures := 1; ; failures++ {
		reply, err := call()
		if err == nil {
			return reply, nil
		}
		reason, details := reasonOf(err)
		// Without a reason, UNAVAILABLE is not from the server: the connection broke.
		lost := reason == "" && status.Code(err) == codes.Unavailable
		if !lost && !traitsOf(reason).GetRepeatable() {
			return reply, err
		}
		asked, _ := strconv.Atoi(details["retry_after_ms"])
		backoff := min(time.Second, 50*time.Millisecond<<min(failures, 10))
		wait := time.Duration(asked)*time.Millisecond + time.Duration(mathrand.Float64()*float64(backoff))
		select {
		case <-ctx.Done():
			return reply, err
		case <-time.After(wait):
		}
	}
}

func newRequestID() *string {
	bytes := make([]byte, 16)
	if _, err := rand.Read(bytes); err != nil {
		log.Fatal(err)
	}
	id := hex.EncodeToString(bytes)
	return &id
}

type store struct {
	client mutable.MutableStoreClient
}

func (s store) set(ctx context.Context, namespace, key, valueJSON string) (*mutable.Record, error) {
	request := &mutable.SetRequest{Namespace: namespace, Key: key, ValueJson: valueJSON, RequestId: newRequestID()}
	reply, err := repeating(ctx, func() (*mutable.SetResponse, error) { return s.client.Set(ctx, request) })
	return reply.GetRecord(), err
}

// update changes a value by a function. The result is stored only if nobody else wrote in between; else it starts again.
func (s store) update(ctx context.Context, namespace, key string, change func(valueJSON string) string) (*mutable.Record, error) {
	for {
		read := &mutable.GetRecordRequest{Namespace: namespace, Key: key}
		found, err := repeating(ctx, func() (*mutable.GetRecordResponse, error) { return s.client.GetRecord(ctx, read) })
		if err != nil {
			return nil, err
		}
		request := &mutable.UpdateRequest{
			Namespace:  namespace,
			Key:        key,
			Operation:  &mutable.UpdateRequest_Replace{Replace: &mutable.Replace{ValueJson: change(found.GetRecord().GetValueJson())}},
			IfRevision: &found.GetRecord().Revision,
			RequestId:  newRequestID(), // one for this write; each repeat of it has the same
		}
		reply, err := repeating(ctx, func() (*mutable.UpdateResponse, error) { return s.client.Update(ctx, request) })
		if err == nil {
			return reply.GetRecord(), nil
		}
		if reason, _ := reasonOf(err); reason != "REVISION_MISMATCH" {
			return nil, err
		}
	}
}

// watch gives each change of a namespace to a function, until it returns false. After a lost connection it goes on where it
// was: nothing is left out, and nothing comes twice.
func (s store) watch(ctx context.Context, namespace string, handle func(*mutable.Change) bool) error {
	request := &mutable.WatchRequest{Namespace: namespace, IncludeCurrent: true}
	for {
		_, err := repeating(ctx, func() (bool, error) {
			stream, err := s.client.Watch(ctx, request)
			if err != nil {
				return false, err
			}
			for {
				message, err := stream.Recv()
				if err != nil {
					return false, err
				}
				for _, change := range message.Changes {
					if !handle(change) {
						return true, nil
					}
					request.Cursor, request.IncludeCurrent = &change.Cursor, false
				}
				request.Cursor, request.IncludeCurrent = &message.Cursor, false
			}
		})
		return err
	}
}

func main() {
	address := os.Getenv("CORTEX_ADDRESS")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	// Who calls: the tenant, and the agent. A key or token goes as "authorization", "Bearer …".
	ctx = metadata.AppendToOutgoingContext(ctx, "x-tenant-id", "go-example", "x-agent-id", "gopher")
	s := store{mutable.NewMutableStoreClient(connection)}

	if _, err := s.set(ctx, "inventory", "widget-qty", "100"); err != nil {
		log.Fatal(err)
	}
	var workers sync.WaitGroup
	for range 8 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for range 5 {
				_, err := s.update(ctx, "inventory", "widget-qty", func(valueJSON string) string {
					quantity, _ := strconv.Atoi(valueJSON)
					return strconv.Itoa(quantity - 1)
				})
				if err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	workers.Wait()
	found, err := s.client.GetRecord(ctx, &mutable.GetRecordRequest{Namespace: "inventory", Key: "widget-qty"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found.Record.ValueJson, found.Record.GetUpdatedBy()) // 60 gopher

	_, err = s.client.Update(ctx, &mutable.UpdateRequest{
		Namespace: "inventory",
		Key:       "none",
		Operation: &mutable.UpdateRequest_Increment{Increment: &mutable.Increment{}},
	})
	reason, details := reasonOf(err)
	fmt.Println(reason, details["key"], traitsOf(reason).GetRepeatable()) // KEY_NOT_FOUND none false

	err = s.watch(ctx, "inventory", func(change *mutable.Change) bool {
		fmt.Println(change.Kind == changes.ChangeKind_CHANGE_KIND_CURRENT, change.Key, change.GetValueJson()) // true widget-qty 60
		return false
	})
	if err != nil {
		log.Fatal(err)
	}
}
