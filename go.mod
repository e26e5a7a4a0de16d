module disd

go 1.26
