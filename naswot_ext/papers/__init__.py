"""The papers, item by item: every table and figure in their own layout, each number beside the published one."""
