package group

import "time"

// A JoinState answers a join, by its name on the wire (E43).
type JoinState string

// The answers to a join. disd sends neither ERROR nor, to a join, REJOIN, both
// of which clients know: the first is fatal for them, the second a recursion.
const (
	JoinOK              JoinState = "OK"
	JoinErrSubscription JoinState = "ERR_SUBSCRIPTION" // fatal for the client
	JoinGroupNotExist   JoinState = "GROUP_NOT_EXIST"  // fatal for the client
)

// A SyncState answers a sync, by its name on the wire (E44).
type SyncState string

// The answers to a sync. disd never sends ERROR.
const (
	SyncOK            SyncState = "OK"
	SyncWaiting       SyncState = "WAITING" // ask again in half a second
	SyncRejoin        SyncState = "REJOIN"  // join first
	SyncGroupNotExist SyncState = "GROUP_NOT_EXIST"
)

// A HeartbeatState answers a heartbeat, by its name on the wire (E45).
type HeartbeatState string

// The answers to a heartbeat.
const (
	Joining                HeartbeatState = "JOINING" // drop the assignment and join
	Syncing                HeartbeatState = "SYNCING" // drop the assignment and sync
	Stable                 HeartbeatState = "STABLE"  // use what the last sync said
	HeartbeatGroupNotExist HeartbeatState = "GROUP_NOT_EXIST"
)

// NoGeneration is the generation of a member before its first assignment.
const NoGeneration = -1

// A JoinRequest is what a member says when it joins (E43). At least one of
// Streams, StreamIDs and Pattern is needed.
type JoinRequest struct {
	ClientID  string
	Streams   []string // interestedStream: names
	StreamIDs []string // interestedStreamIdList
	Pattern   string   // streamPattern: a Java regular expression over whole names, "" for none

	// Accelerate says that the member would rather read records twice than
	// wait for the others to notice a round (accelerateAssignEnabled).
	Accelerate bool

	// RebalanceTimeout is how long a round may wait for this member; 0 when
	// it did not say (rebalanceTimeoutMs).
	RebalanceTimeout time.Duration
}

// A JoinReply answers a join. With JoinOK all its fields count.
type JoinReply struct {
	State        JoinState
	Subscription []string      // as the member spelled them; the names a pattern matched
	SyncDelay    time.Duration // how long to wait before the first sync, 0 to 1 s (G-8)
}

// A SyncReply answers a sync. With SyncOK all its fields count.
type SyncReply struct {
	State      SyncState
	Generation int64 // 0 or more

	// Assignment has the numbers of the member's partitions, ascending, by
	// stream as the member spelled it. It is shared and must not be changed.
	Assignment map[string][]int32
}
