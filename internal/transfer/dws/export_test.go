package dws

// What tests make themselves.
const (
	ProgressTable   = progressTable
	ProgressColumns = progressColumns
)
