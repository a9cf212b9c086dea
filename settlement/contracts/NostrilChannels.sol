// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Assets} from "./Assets.sol";
import {Bip340} from "./Bip340.sol";
import {EventId} from "./EventId.sol";

/// Payment channels whose cheque is a Nostr event: the balance receipt (kind 1472) that a payer signs anyway
/// is what this contract pays. spec/12-contract.md is its manual. UNAUDITED: docs/security.md.
///
/// No owner, no proxy, no pause, no fee: nobody can change it or take anything but by the rules below.
///   pool     what an owner has here in a token, free to take away or to lock in channels
///   channel  an amount locked for one payee; the signer's receipts say how much of it is the payee's
/// Amounts are base units below 2^96, token 0 is ether. A channel is named by all its terms, so nobody can
/// take a name before somebody else. Its counters are never reset: a receipt pays once, for ever.
contract NostrilChannels {
    struct Channel {
        address payer; // opens, tops up, closes; what is left comes back to its pool
        uint96 salt; // the payer's choice: one for each channel of the same terms
        bytes32 signer; // x-only BIP-340 key whose receipts count
        address payee; // the only one who is ever paid
        address token;
    }

    /// A BIP-340 signature, with the even y of rx.
    struct Signature {
        uint256 rx;
        uint256 s;
        uint256 ry;
    }

    /// Why a row of claim() paid nothing.
    enum Skip {
        Unknown, // no such channel: other terms, chain or contract, or not opened (any more)
        NothingNew, // as much was claimed before, or all that is locked
        BadTime, // created_at has not 10 digits
        BadSignature
    }

    event Deposited(address indexed owner, address indexed token, uint256 amount);
    event Withdrawn(address indexed owner, address indexed token, address to, uint256 amount);
    event Allowed(address indexed payer, bytes32 indexed signer, address indexed token, uint256 amount);
    event Opened(
        bytes32 indexed id,
        address indexed payer,
        address indexed payee,
        uint96 salt,
        bytes32 signer,
        address token,
        uint96 deposit
    );
    /// The locked amount is another one now, claimed part included.
    event Locked(bytes32 indexed id, uint96 deposit);
    event Claimed(bytes32 indexed id, uint96 claimed);
    event Skipped(uint256 row, Skip reason);
    /// What was claimed is in the payee's pool: as asked for, or because it could not be moved to him.
    event Kept(address indexed payee, address indexed token, uint256 amount);
    event CloseRequested(bytes32 indexed id, uint40 closeAt);
    event Finalised(bytes32 indexed id, uint96 deposit);

    error Reentered();
    error AnotherChain();
    error BadChannel();
    error NotPayer();
    error NotPayee();
    error AlreadyOpen();
    error NotOpen();
    error TooMuch();
    error NotEnough();
    error NotYet();
    error Closing();
    error Spent();
    error Expired();
    error BadTimes();
    error BadSignature();
    error BadRows();

    /// From a payer's request to close until what is left is his: time for the payee to claim.
    uint256 public constant GRACE_SECONDS = 1 days;
    /// Bytes of a row of claim(): payer 20, salt 12, signer 32, amount 12, created_at 4, x 32, rx 32, s 32, ry 32.
    uint256 private constant ROW = 208;

    /// A number in storage. As a struct it has a reference, so that its place is hashed once for reading and writing.
    struct Cell {
        uint256 value;
    }

    // A channel's slot: deposit 96 | claimed 96 << 96 | closeAt 40 << 192 | returned 1 << 232.
    // Zero exactly while it was never opened. returned: something went back to the payer.
    uint256 private constant RETURNED = 1 << 232;
    uint256 private constant TIME_MIN = 1e9; // 10 digits

    uint256 private immutable CHAIN = block.chainid;
    /// Binds every id to this chain and this contract.
    bytes32 public immutable DOMAIN =
        keccak256(abi.encode(keccak256("nostril/channel/evm/1"), block.chainid, address(this)));

    mapping(bytes32 id => Cell slot) private slots;
    mapping(address owner => mapping(address token => Cell)) public pool;
    /// How much of the payer's pool the signer may still lock by signed orders.
    mapping(address payer => mapping(bytes32 signer => mapping(address token => uint256))) public allowance;

    uint256 private transient entered; // a whole word: a bool would be read again to be written

    modifier guarded() {
        if (entered != 0) revert Reentered();
        entered = 1;
        _;
        entered = 0;
    }

    /// After a fork that changes the chain id nothing new is locked; what is here can be claimed and taken.
    modifier onOwnChain() {
        if (block.chainid != CHAIN) revert AnotherChain();
        _;
    }

    // ---- Pool

    /// Anybody may deposit for anybody. Tokens that keep a fee count by what arrives.
    function deposit(address owner, address token, uint256 amount) external payable guarded onOwnChain {
        amount = Assets.pull(token, msg.sender, amount);
        pool[owner][token].value += amount;
        emit Deposited(owner, token, amount);
    }

    function withdraw(address token, uint256 amount, address to) external guarded {
        takeFromPool(msg.sender, token, amount);
        if (!Assets.push(token, to, amount)) revert Assets.TransferFailed();
        emit Withdrawn(msg.sender, token, to, amount);
    }

    /// Lets `signer` lock up to `amount` of the caller's pool, by signed orders, in channels with that signer
    /// and any payee. Replaces what was allowed; 0 forbids. Like a card's limit: who has the key can spend it.
    function allow(bytes32 signer, address token, uint256 amount) external {
        allowance[msg.sender][signer][token] = amount;
        emit Allowed(msg.sender, signer, token, amount);
    }

    // ---- Opening and adding

    function open(Channel calldata c, uint96 amount) external payable guarded onOwnChain {
        (bytes32 id, Cell storage cell) = ownNew(c);
        lockNew(cell, id, c, Assets.pull(c.token, msg.sender, amount));
    }

    function openPooled(Channel calldata c, uint96 amount) external guarded onOwnChain {
        (bytes32 id, Cell storage cell) = ownNew(c);
        takeFromPool(msg.sender, c.token, amount);
        lockNew(cell, id, c, amount);
    }

    /// Opens the channel, or raises its deposit to `total`, by the signer's order alone (kind 1473), out of the
    /// payer's pool and within the signer's allowance. Anybody may bring it. It names the total, so that twice
    /// is once; and it counts only while nothing went back, so that it can't lock again what was returned.
    function openSigned(Channel calldata c, uint96 total, uint32 createdAt, uint32 expiration, Signature calldata sig)
        external
        guarded
        onOwnChain
    {
        if (createdAt < TIME_MIN || expiration < TIME_MIN) revert BadTimes();
        if (block.timestamp > expiration) revert Expired();
        bytes32 id = channelId(c);
        Cell storage cell = slots[id];
        uint256 slot = cell.value;
        if (slot >> 192 != 0) revert Closing();
        if (total <= uint96(slot)) revert Spent();
        bytes32 order = EventId.order(uint256(c.signer), createdAt, uint256(id), total, expiration);
        if (!Bip340.verify(uint256(c.signer), order, sig.rx, sig.s, sig.ry)) revert BadSignature();

        uint256 more = total - uint96(slot);
        uint256 allowed = allowance[c.payer][c.signer][c.token];
        if (more > allowed) revert TooMuch();
        unchecked {
            allowance[c.payer][c.signer][c.token] = allowed - more;
        }
        takeFromPool(c.payer, c.token, more);
        if (slot == 0) lockNew(cell, id, c, more);
        else lockMore(cell, id, more);
    }

    /// The payer adds to a channel, also to one that was finalised. A pending close stays pending.
    function topUp(Channel calldata c, uint96 amount) external payable guarded onOwnChain {
        (bytes32 id, Cell storage cell) = ownOpened(c);
        lockMore(cell, id, Assets.pull(c.token, msg.sender, amount));
    }

    function topUpPooled(Channel calldata c, uint96 amount) external guarded onOwnChain {
        (bytes32 id, Cell storage cell) = ownOpened(c);
        takeFromPool(msg.sender, c.token, amount);
        lockMore(cell, id, amount);
    }

    // ---- Claiming

    /// Pays what receipts of any number of channels of one payee and token are worth beyond what was claimed,
    /// at most what is locked. Anybody may bring them. A bad row is skipped with a log. If the payee can't be
    /// paid (a token's blacklist, a contract without a receive function), his pool gets it.
    function claim(address payee, address token, bytes calldata rows) external guarded returns (uint256 sum) {
        sum = redeem(payee, token, rows);
        if (sum != 0 && !Assets.push(token, payee, sum)) {
            pool[payee][token].value += sum;
            emit Kept(payee, token, sum);
        }
    }

    /// The same into the caller's own pool: for tokens that refuse to be moved, and to pay others from there.
    function claimToPool(address token, bytes calldata rows) external guarded returns (uint256 sum) {
        sum = redeem(msg.sender, token, rows);
        if (sum == 0) return 0;
        pool[msg.sender][token].value += sum;
        emit Kept(msg.sender, token, sum);
    }

    // ---- Closing

    /// Starts the grace period. Again: nothing changes, so that it can't be prolonged either.
    function requestClose(Channel calldata c) external guarded {
        (bytes32 id, Cell storage cell) = ownOpened(c);
        if (uint40(cell.value >> 192) != 0) return;
        uint256 closeAt = block.timestamp + GRACE_SECONDS;
        cell.value |= closeAt << 192;
        emit CloseRequested(id, uint40(closeAt));
    }

    /// After the grace period: what was not claimed goes to the payer's pool. Anybody may call it.
    function finalise(Channel calldata c) external guarded {
        bytes32 id = channelId(c);
        Cell storage cell = slots[id];
        uint256 slot = cell.value;
        uint256 closeAt = uint40(slot >> 192);
        if (closeAt == 0 || block.timestamp < closeAt) revert NotYet();
        uint256 claimed = uint96(slot >> 96);
        pool[c.payer][c.token].value += uint96(slot) - claimed;
        cell.value = claimed | (claimed << 96) | RETURNED;
        emit Finalised(id, uint96(claimed));
    }

    /// The payee gives back at once what he has not claimed: a close without waiting.
    function refund(Channel calldata c, uint96 amount) external guarded {
        if (msg.sender != c.payee) revert NotPayee();
        bytes32 id = channelId(c);
        Cell storage cell = slots[id];
        uint256 slot = cell.value;
        uint256 locked = uint96(slot);
        if (amount == 0 || amount > locked - uint96(slot >> 96)) revert NotEnough();
        unchecked {
            cell.value = (slot - amount) | RETURNED;
            emit Locked(id, uint96(locked - amount));
        }
        pool[c.payer][c.token].value += amount;
    }

    // ---- Reading

    function channelId(Channel calldata c) public view returns (bytes32) {
        return channelId((uint256(uint160(c.payer)) << 96) | c.salt, c.signer, c.payee, c.token);
    }

    /// closeAt 0: no close was requested. known: it was opened once.
    function channel(bytes32 id)
        external
        view
        returns (uint96 locked, uint96 claimed, uint40 closeAt, bool returned, bool known)
    {
        uint256 slot = slots[id].value;
        return (uint96(slot), uint96(slot >> 96), uint40(slot >> 192), slot & RETURNED != 0, slot != 0);
    }

    /// Id of the receipt that a payer must have signed; for those who make rows.
    function receiptId(bytes32 signer, uint32 createdAt, bytes32 id, uint96 amount, bytes32 x)
        external
        view
        returns (bytes32)
    {
        if (createdAt < TIME_MIN) revert BadTimes();
        return EventId.receipt(uint256(signer), createdAt, uint256(id), amount, uint256(x));
    }

    /// Id of the order that a signer must have signed for openSigned().
    function orderId(bytes32 signer, uint32 createdAt, bytes32 id, uint96 total, uint32 expiration)
        external
        view
        returns (bytes32)
    {
        if (createdAt < TIME_MIN || expiration < TIME_MIN) revert BadTimes();
        return EventId.order(uint256(signer), createdAt, uint256(id), total, expiration);
    }

    // ---- Inside

    function channelId(uint256 payerAndSalt, bytes32 signer, address payee, address token)
        private
        view
        returns (bytes32 id)
    {
        bytes32 domain = DOMAIN;
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, domain)
            mstore(add(m, 32), payerAndSalt)
            mstore(add(m, 64), signer)
            mstore(add(m, 96), payee)
            mstore(add(m, 128), token)
            id := keccak256(m, 160)
        }
    }

    function ownNew(Channel calldata c) private view returns (bytes32 id, Cell storage cell) {
        (id, cell) = own(c);
        if (cell.value != 0) revert AlreadyOpen();
    }

    function ownOpened(Channel calldata c) private view returns (bytes32 id, Cell storage cell) {
        (id, cell) = own(c);
        if (cell.value == 0) revert NotOpen();
    }

    function own(Channel calldata c) private view returns (bytes32 id, Cell storage cell) {
        if (msg.sender != c.payer) revert NotPayer();
        id = channelId(c);
        cell = slots[id];
    }

    function takeFromPool(address owner, address token, uint256 amount) private {
        Cell storage cell = pool[owner][token];
        uint256 has = cell.value;
        if (amount == 0 || amount > has) revert NotEnough();
        unchecked {
            cell.value = has - amount;
        }
    }

    function lockNew(Cell storage cell, bytes32 id, Channel calldata c, uint256 amount) private {
        if (c.payee == address(0)) revert BadChannel();
        cell.value = amount;
        emit Opened(id, c.payer, c.payee, c.salt, c.signer, c.token, uint96(amount));
    }

    function lockMore(Cell storage cell, bytes32 id, uint256 more) private {
        uint256 slot = cell.value;
        uint256 locked = uint96(slot) + more;
        if (locked > type(uint96).max) revert TooMuch();
        cell.value = slot + more;
        emit Locked(id, uint96(locked));
    }

    function redeem(address payee, address token, bytes calldata rows) private returns (uint256 sum) {
        if (rows.length % ROW != 0) revert BadRows();
        uint256 first;
        assembly ("memory-safe") { first := rows.offset }
        unchecked {
            uint256 end = first + rows.length;
            for (uint256 row = first; row < end; row += ROW) {
                (uint256 paid, Skip reason) = redeemRow(payee, token, row);
                if (paid == 0) emit Skipped((row - first) / ROW, reason);
                sum += paid;
            }
        }
    }

    /// What the row pays, after the channel's counter has moved; or 0 and why. row: its place in the calldata.
    function redeemRow(address payee, address token, uint256 row) private returns (uint256 paid, Skip) {
        unchecked {
            uint256 signer = word(row + 32);
            uint256 amount = word(row + 64) >> 160;
            bytes32 id = channelId(word(row), bytes32(signer), payee, token);
            Cell storage cell = slots[id];
            uint256 slot = cell.value;
            if (slot == 0) return (0, Skip.Unknown);
            uint256 claimed = uint96(slot >> 96);
            // A receipt for more than is locked is worth what is locked, and the rest if that is ever added.
            uint256 due = amount < uint96(slot) ? amount : uint96(slot);
            if (due <= claimed) return (0, Skip.NothingNew);
            {
                uint256 time = word(row + 76) >> 224;
                if (time < TIME_MIN) return (0, Skip.BadTime);
                bytes32 message = EventId.receipt(signer, time, uint256(id), amount, word(row + 80));
                if (!Bip340.verify(signer, message, word(row + 112), word(row + 144), word(row + 176))) {
                    return (0, Skip.BadSignature);
                }
            }
            paid = due - claimed;
            cell.value = slot + (paid << 96);
            emit Claimed(id, uint96(due));
            return (paid, Skip.Unknown);
        }
    }

    function word(uint256 place) private pure returns (uint256 value) {
        assembly ("memory-safe") { value := calldataload(place) }
    }
}
