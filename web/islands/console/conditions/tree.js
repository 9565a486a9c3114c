// A condition as a tree of nodes that can be moved about, read from and written to the plain data of the server.
// A node is a leaf ({leaf}) or a group ({joint, parts}); `nots` counts the `not`s around it.
let last = 0;

const is_alone = (tree, name) => tree !== null && typeof tree === "object" && Object.keys(tree).length === 1 && name in tree;

function read_node(tree) {
  let nots = 0;
  while (is_alone(tree, "not")) { tree = tree.not; nots += 1; }
  const joint = ["all", "any"].find((name) => is_alone(tree, name) && Array.isArray(tree[name]));
  return joint ? make_group(joint, tree[joint].map(read_node), nots) : make_leaf(tree, nots);
}

const write_node = (node) => wrap(node.parts ? { [node.joint]: node.parts.map(write_node) } : node.leaf, node.nots);
const wrap = (tree, nots) => (nots ? { not: wrap(tree, nots - 1) } : tree);

export const make_leaf = (leaf, nots = 0) => ({ id: (last += 1), nots, leaf });
export const make_group = (joint, parts, nots = 0) => ({ id: (last += 1), nots, joint, parts });
export const copy = (data) => JSON.parse(JSON.stringify(data));

// The root is always a group. One that nobody wrote (`is_loose`) is not written either while it has one part.
export function read_tree(tree) {
  if (tree === null || tree === undefined) return { ...make_group("all", []), is_loose: true };
  const node = read_node(tree);
  return node.parts && !node.nots ? node : { ...make_group("all", [node]), is_loose: true };
}

export function write_tree(root) {
  if (!root.parts.length) return null;
  return root.is_loose && root.parts.length === 1 ? write_node(root.parts[0]) : write_node(root);
}

export function find(root, id, parent = null) {
  if (root.id === id) return { node: root, parent, index: parent ? parent.parts.indexOf(root) : -1 };
  for (const part of root.parts || []) {
    const found = find(part, id, root);
    if (found) return found;
  }
  return null;
}

// Every place in the written tree, as JSON, with the node that stands there.
export function places(root) {
  const found = new Map();
  const walk = (node, path) => {
    found.set(JSON.stringify(path), node);
    for (let count = 0; count < node.nots; count += 1) path = [...path, "not"];
    if (node.nots) found.set(JSON.stringify(path), node);
    (node.parts || []).forEach((part, number) => walk(part, [...path, node.joint, number]));
  };
  if (root.is_loose && root.parts.length === 1) walk(root.parts[0], []);
  else walk(root, []);
  return found;
}

// Acts: each changes the tree and answers whether it did.

export function remove(root, id) {
  const { parent, index } = find(root, id);
  parent.parts.splice(index, 1);
  return true;
}

export function duplicate(root, id) {
  const { node, parent, index } = find(root, id);
  parent.parts.splice(index + 1, 0, read_node(copy(write_node(node))));
  return true;
}

export function put(root, id, into, index) {
  const from = find(root, id);
  const to = find(root, into);
  if (!to || find(from.node, into)) return false;
  if (from.parent === to.node && from.index < index) index -= 1;
  if (from.parent === to.node && from.index === index) return false;
  from.parent.parts.splice(from.index, 1);
  to.node.parts.splice(index, 0, from.node);
  drop_empty(root, from.parent);
  return true;
}

// Up and down walk through groups: into the one that lies in the way, out of one's own at its end.
export function shift(root, id, by) {
  const { parent, index } = find(root, id);
  const next = parent.parts[index + by];
  if (next && next.parts) return put(root, id, next.id, by < 0 ? next.parts.length : 0);
  if (next) return put(root, id, parent.id, by < 0 ? index - 1 : index + 2);
  if (parent === root) return false;
  const above = find(root, parent.id);
  return put(root, id, above.parent.id, by < 0 ? above.index : above.index + 1);
}

export function take_out(root, id) {
  const { parent } = find(root, id);
  if (parent === root) return false;
  const above = find(root, parent.id);
  return put(root, id, above.parent.id, above.index + 1);
}

// With the group above it, where there is one; else in a group of its own.
export function take_in(root, id) {
  const { node, parent, index } = find(root, id);
  const before = parent.parts[index - 1];
  if (before && before.parts) return put(root, id, before.id, before.parts.length);
  parent.parts[index] = make_group(parent.joint === "all" ? "any" : "all", [node]);
  return true;
}

export function ungroup(root, id) {
  const { node, parent, index } = find(root, id);
  if (!parent || !node.parts || node.nots % 2) return false;
  parent.parts.splice(index, 1, ...node.parts);
  return true;
}

function drop_empty(root, group) {
  if (group === root || group.parts.length) return;
  const { parent, index } = find(root, group.id);
  parent.parts.splice(index, 1);
  drop_empty(root, parent);
}
